"""Runs in the tool environment, which has ExecuTorch, Vela and the TOSA reference model but not the workbench.

worker.py compile PROGRAM.pt2 INPUTS.npz TARGET OUT    quantize, lower, compile; writes into OUT
                                                       (grids.json beside the inputs: of activations, by place)
worker.py run MODEL.tosa                               frames of int8 on standard input and output
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
MACS = {"ethos-u55": "ethos-u55-128", "ethos-u65": "ethos-u65-256", "ethos-u85": "ethos-u85-256"}


def compile_(program: str, inputs: str, target: str, out: str) -> None:
    """Quantize to int8 with the inputs, lower the whole graph to TOSA, compile it with Vela."""
    import numpy
    import torch
    from executorch.backends.arm.ethosu import EthosUCompileSpec, EthosUPartitioner
    from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    captured = torch.export.load(program).module(check_guards=False)
    arrays = {k: torch.from_numpy(v) for k, v in numpy.load(inputs).items()}
    batch = tuple(arrays[name] for name in sorted(arrays))
    one = tuple(x[:1] for x in batch)
    module = torch.export.export(captured, one).module()  # one row: an NPU has one size of everything
    spec = EthosUCompileSpec(target=MACS[target])
    folder = Path(tempfile.mkdtemp(dir=out))
    spec.dump_intermediate_artifacts_to(str(folder))
    prepared = prepare_pt2e(module, EthosUQuantizer(spec).set_global(get_symmetric_quantization_config()))
    for i in range(len(batch[0])):
        prepared(*(x[i : i + 1] for x in batch))
    given = Path(inputs).with_name("grids.json")
    if given.exists():
        put_grids(prepared, calls_of(module), json.loads(given.read_text()))
    converted = convert_pt2e(prepared)
    exported = torch.export.export(converted, one)
    edge = to_edge_transform_and_lower(exported, partitioner=[EthosUPartitioner(spec)])
    left = [str(n.target) for n in edge.exported_program().graph.nodes if n.op == "call_function"]
    lowered = edge.to_executorch()
    (Path(out) / "model.pte").write_bytes(lowered.buffer)
    (tosa,) = sorted(folder.glob("**/*.tosa"))[:1]
    shutil.copyfile(tosa, Path(out) / "model.tosa")
    report = vela(Path(out) / "model.tosa", target, Path(out))
    grids = grids_of(exported)
    rows = range(len(batch[0]))
    expected = [torch.utils._pytree.tree_leaves(converted(*(x[i : i + 1] for x in batch)))[0] for i in rows]
    checked = compare(Path(out) / "model.tosa", batch, expected, grids)
    shutil.rmtree(folder)
    record = {**report, "grids": grids, "left_on_cpu": outside(left), **checked}
    (Path(out) / "npu.json").write_text(json.dumps(record))


def calls_of(module: Any) -> list[str]:
    """Return the names of a graph's input and calls, the input first: the order that the grids are numbered in."""
    nodes = list(module.graph.nodes)
    calls = [
        n.name for n in nodes if n.op == "call_function" and getattr(n.target, "__name__", "") != "getitem"
    ]
    return [next(n.name for n in nodes if n.op == "placeholder"), *calls]


def put_grids(prepared: Any, names: list[str], grids: dict[str, list[float]]) -> None:
    """Let observers tell the grids that were given (of uint8) instead of what they saw."""
    import torch

    for node in prepared.graph.nodes:
        source = node.args[0].name if node.op == "call_module" and node.args else ""
        number = str(names.index(source) - 1) if source in names else ""
        if number in grids:
            step, zero = grids[number]
            found = (torch.tensor([float(step)]), torch.tensor([int(zero) - 128]))
            prepared.get_submodule(node.target).calculate_qparams = lambda found=found: found


def grids_of(exported: Any) -> dict[str, list[float]]:
    """Return scale and zero point of the input and the output: the outermost quantize nodes."""
    quantize = [n for n in exported.graph.nodes if "quantize_per_tensor" in str(n.target)]
    first = next(n for n in quantize if str(n.target).split(".")[-2].startswith("quantize"))
    last = [n for n in quantize if str(n.target).split(".")[-2].startswith("dequantize")][-1]
    return {name: [float(n.args[1]), int(n.args[2])] for name, n in (("input", first), ("output", last))}


def outside(names: list[str]) -> list[str]:
    """Return the operators that the NPU does not run; quantizing in and out is the caller's."""
    usual = ("quantize", "executorch_call_delegate", "getitem", "lowered")
    return sorted({name for name in names if not any(word in name for word in usual)})


def vela(tosa: Path, target: str, out: Path) -> dict[str, Any]:
    """Compile TOSA to the command stream and return the compiler's estimates."""
    command = [str(Path(sys.executable).parent / "vela"), str(tosa), "--accelerator-config", MACS[target]]
    command += ["--output-format", "raw", "--output-dir", str(out / "vela")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (stream,) = (out / "vela").glob("*.npz")
    (summary,) = (out / "vela").glob("*summary*.csv")
    row = next(csv.DictReader(summary.open()))
    shutil.copyfile(stream, out / "model.npz")
    shutil.rmtree(out / "vela")
    keys = ("cycles_npu", "cycles_total", "sram_memory_used", "off_chip_flash_memory_used", "inference_time")
    return {"accelerator": MACS[target], **{key: float(row[key]) for key in keys if row.get(key)}}


def compare(tosa: Path, batch: Any, expected: list[Any], grids: dict[str, list[float]]) -> dict[str, Any]:
    """Return how many elements of the TOSA model's output equal those of the quantized torch model."""
    import numpy as np

    scale, zero = grids["output"]
    same = total = 0
    largest = 0
    for i, value in enumerate(expected):
        q = quantized(batch[0][i : i + 1].numpy(), grids["input"])
        given = reference(tosa, q).astype(int).ravel()
        wanted = np.rint(value.detach().numpy() / scale).astype(int).ravel() + int(zero)
        same, total = same + int((given == wanted).sum()), total + given.size
        largest = max(largest, int(abs(given - wanted).max()))
    return {"elements": total, "equal": same, "largest_step": largest}


def quantized(x: Any, grid: list[float]) -> Any:
    """Return int8 on a grid."""
    import numpy as np

    return np.clip(np.rint(x / grid[0]) + grid[1], -128, 127).astype(np.int8)


def reference(tosa: Path, q: Any) -> Any:
    """Run the TOSA reference model."""
    import tosa_reference_model

    return tosa_reference_model.run(tosa.read_bytes(), [q])[0][0]


def run(tosa: str) -> None:
    """Answer frames: rank, sizes, int8 data; until the input ends."""
    import numpy as np

    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the reference model writes warnings to what it takes for standard output
    while head := source.read(4):
        (rank,) = struct.unpack("<i", head)
        shape = struct.unpack(f"<{rank}q", source.read(8 * rank))
        q = np.frombuffer(source.read(int(np.prod(shape))), np.int8).reshape(shape)
        y = np.ascontiguousarray(reference(Path(tosa), q))
        sink.write(struct.pack(f"<i{y.ndim}q", y.ndim, *y.shape) + y.astype(np.int8).tobytes())
        sink.flush()


if __name__ == "__main__":
    if sys.argv[1] == "compile":
        compile_(*sys.argv[2:])
    else:
        run(*sys.argv[2:])
