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
import json, resource, sys, time
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
    # Step processes are this one's only children so far that have ended.
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
finally:
    if "compile" in stages:
        mlops("unstage bench")
weights_mb = sum(p.numel() * p.element_size() for p in shell.user_ns["model"].parameters()) / 1e6
print("\\n" + json.dumps({**stages, "peak_mb": peak_mb, "weights_mb": weights_mb}))
"""

_WORTH_WEIGHING_MB = 10.0  # of a smaller model the allocator's own pages would be measured
# What a step process holds before it has read a model.
_LIBRARIES = """
import json, resource
from workbench.pipeline import spare, waiting
waiting.load(spare.OF_TORCH)
print(json.dumps({"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))
"""


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; one round of digits when quick, else five of digits and MiniLM."""
    models = ("digits",) if quick else tuple(_MODELS)
    for _ in progress(1 if quick else 5, "capture to endpoint"):
        for model in models:
            for key, value in _measure(model).items():
                samples.add(f"{model}.{key}", value)


def _measure(model: str) -> dict[str, float]:
    """Return the seconds of every stage and their sum, and the steps' peak memory beyond their libraries'."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"MODEL = {_MODELS[model]!r}\n{_PROGRAM}"
        found = fresh(program, IPYTHONDIR=folder, MLOPS_HOME=f"{folder}/store")
    figures = {f"{stage}.s": float(found[stage]) for stage in STAGES}
    figures["total.s"] = sum(figures.values())
    if found["weights_mb"] > _WORTH_WEIGHING_MB:
        beyond_mb = found["peak_mb"] - fresh(_LIBRARIES)["mb"]
        figures["peak.over_weights"] = beyond_mb / found["weights_mb"]
    return figures
