"""Small workloads a profiler is tried on: one step a call, each of another kind."""

from __future__ import annotations

from collections.abc import Callable

Step = Callable[[], object]


def mlp() -> Step:
    """Return a torch MLP: four 512 by 512 layers on 64 rows, so time is in a few large operators."""
    return _layers(4, 512, rows=64)


def small_mlp() -> Step:
    """Return a torch MLP of sixteen 32 by 32 layers on one row: time is in dispatch and allocation."""
    return _layers(16, 32, rows=1)


def _layers(count: int, width: int, *, rows: int) -> Step:
    import torch

    torch.set_num_threads(1)
    layers = [part for _ in range(count) for part in (torch.nn.Linear(width, width), torch.nn.ReLU())]
    model, batch = torch.nn.Sequential(*layers).eval(), torch.randn(rows, width)

    def step() -> object:
        with torch.no_grad():
            return model(batch)

    return step


def tiny() -> Step:
    """Return 24 operators on 8 numbers: time is in dispatch, so a probe on each operator costs most here."""
    import torch

    torch.set_num_threads(1)
    left, right = torch.randn(8), torch.randn(8)

    def step() -> object:
        value = left
        for _ in range(8):
            value = torch.relu(value * right + left)
        return value

    return step


def ort() -> Step:
    """Return the same MLP run by onnxruntime: one Python call, all time in a stripped library."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(4):
        weights.append(numpy_helper.from_array(rng.standard_normal((512, 512), np.float32), f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"y{layer}"]))
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"x{layer + 1}"]))
    shape = [64, 512]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x0", "x4")]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feeds = {"x0": rng.standard_normal(shape, np.float32)}
    return lambda: session.run(None, feeds)


WORKLOADS: dict[str, Callable[[], Step]] = {"mlp": mlp, "tiny": tiny, "ort": ort}
