"""Seconds from the cell to the first answered request, by stage, as a notebook's user would wait.

Every round is a fresh kernel-like process with an empty store, so nothing comes from a cache. Loading torch
and the model is not counted: the user has the module already. No evaluation function is given, since its time
is the user's own.
"""

from __future__ import annotations

import tempfile

from ..harness import fresh, progress
from ..samples import Samples

STAGES = ("capture", "quantize", "compile", "push", "first_answer")

_MODELS = {
    "digits": """
from workbench.examples import digits
data = digits.load()
model, batch = digits.DigitsNet().eval(), data.test_images[:8]
calibration = list(data.train_images[:200].split(20))
feeds = {"image": data.test_images[:1].numpy()}
options = ""
""",
    "minilm": """
from workbench.examples import minilm, wordnet
model, tokenize = minilm.load(), minilm.tokenize
calibration = wordnet.pairs(64, skip=400)[0]
batch = tokenize(calibration[:4])
feeds = dict(zip(("ids", "mask"), (t.numpy() for t in tokenize(calibration[:1]))))
options = "--preprocess tokenize"
""",
}

_PROGRAM = """
import json, sys, time
import torch
from IPython.core.interactiveshell import InteractiveShell
torch.set_num_threads(1)
shell = InteractiveShell.instance()
exec(MODEL, shell.user_ns)
shell.run_line_magic("load_ext", "workbench")
stages = {}

def stage(name, work):
    start = time.perf_counter()
    value = work()
    stages[name] = time.perf_counter() - start
    return value

def mlops(line):
    return shell.run_line_magic("mlops", line)

def answer(url):
    from workbench.serve.client import InferenceClient
    with InferenceClient(url) as client:
        return client.infer("bench", shell.user_ns["feeds"])

try:
    options = shell.user_ns["options"]
    stage("capture", lambda: mlops(f"capture model --inputs batch --name bench {options}"))
    stage("quantize", lambda: mlops("quantize bench --scheme int8 --calibrate calibration"))
    stage("compile", lambda: mlops("compile bench:int8 --backend onnxruntime"))
    staged = stage("push", lambda: mlops("push bench:int8 --to staging"))
    stage("first_answer", lambda: answer(staged.url))
finally:
    if "compile" in stages:
        mlops("unstage bench")
print("\\n" + json.dumps(stages))
"""


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; one round of digits when quick, else five of digits and MiniLM."""
    models = ("digits",) if quick else tuple(_MODELS)
    for _ in progress(1 if quick else 5, "capture to endpoint"):
        for model in models:
            for stage, seconds in _measure(model).items():
                samples.add(f"{model}.{stage}.s", seconds)


def _measure(model: str) -> dict[str, float]:
    """Return the seconds of every stage, and their sum as ``total``."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"MODEL = {_MODELS[model]!r}\n{_PROGRAM}"
        seconds = fresh(program, IPYTHONDIR=folder, MLOPS_HOME=f"{folder}/store")
    stages = {stage: float(seconds[stage]) for stage in STAGES}
    return {**stages, "total": sum(stages.values())}
