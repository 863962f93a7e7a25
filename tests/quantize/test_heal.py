"""Healing: what is trained is what is served, the control is always there, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.errors import (
    BadTensor,
    EmptyData,
    EvaluationFailed,
    InputError,
    MissingInput,
    NonFinite,
    QuantizeError,
)
from workbench.program import read_program, read_signature, runner
from workbench.quantize import QuantizeConfig, TernaryConfig
from workbench.quantize.assign import assign, build, prepared
from workbench.quantize.heal import HealConfig, Task, heal
from workbench.quantize.heal.data import TrainingData
from workbench.quantize.heal.loss import Teacher, default_loss
from workbench.quantize.heal.twin import Twin, trained

from .test_layer_kinds import KINDS

BUDGET = HealConfig(0.5, 5e-3)
POOR = TernaryConfig("absmean", "tensor", ends="ternary")
"""Loses much, so that there is something to heal."""


class Mixed(nn.Module):
    """A transposed weight, a tied table, and a plain layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.middle = nn.Embedding(20, 16), nn.Linear(16, 16)
        self.turned = nn.Parameter(torch.randn(16, 16))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.middle(self.table(ids))) @ self.turned
        return x @ self.table.weight.t()


def captured(folder: Path, module: nn.Module, example: torch.Tensor, dynamic: str = "none") -> Path:
    folder.mkdir()
    capture_module(module.eval(), (example,), folder, dynamic=dynamic)
    return folder


MODULES = {kind: (make, torch.randn(shape)) for kind, (make, shape) in KINDS.items()}
MODULES["mixed"] = (Mixed, torch.randint(0, 20, (3, 5)))


@pytest.mark.parametrize("scheme", ["ternary", "int4"])
@pytest.mark.parametrize("kind", MODULES)
def test_the_twin_computes_what_the_variant_gives(kind: str, scheme: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, x = MODULES[kind]
    folder = captured(tmp_path / "program", make(), x)
    program, signature = read_program(folder), read_signature(folder)
    ternary = TernaryConfig("twn", "group", 8, "ternary")
    config = QuantizeConfig(scheme, ternary=ternary)
    assignment = assign(prepared(program), config, scheme)
    assignment.formats = {n: f if f == scheme else "float" for n, f in assignment.formats.items()}
    variant = build(prepared(program), assignment, config).program
    names = [spec.name for spec in signature.inputs]
    expected = runner(variant, signature)(dict(zip(names, [x], strict=True)))
    given = Twin(program, assignment, ternary)([x])[0]
    # A value on the edge of an int8 step may fall to either side.
    torch.testing.assert_close(given, next(iter(expected.values())), rtol=1e-3, atol=2e-2)


def test_trained_weights_land_in_the_program(tmp_path: Path) -> None:
    x = torch.randint(0, 20, (3, 5))
    folder = captured(tmp_path / "program", Mixed(), x)
    program = read_program(folder)
    twin = Twin(program, None, TernaryConfig())
    assert set(twin.weights) == {"table.weight", "middle.weight", "middle.bias", "turned"}
    with torch.no_grad():
        for weight in twin.weights.values():
            weight.mul_(0.5)
    signature = read_signature(folder)
    given = runner(trained(program, twin.weights), signature)({"ids": x})
    torch.testing.assert_close(next(iter(given.values())), twin([x])[0].detach())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def net(tmp_path: Path) -> tuple[Path, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A small network that was trained a little, so that more training helps whatever a second holds, and its data."""
    torch.manual_seed(0)
    x, corner = torch.randn(320, 8), torch.randn(8, 4)
    y = (x @ corner).argmax(1)
    module = Net()
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    folder = captured(tmp_path / "net", module, x[:4], "auto")
    return folder, [(x[i : i + 32], y[i : i + 32]) for i in range(0, 320, 32)]


def task(items: Any, config: HealConfig = BUDGET, **more: Any) -> Task:
    return Task(QuantizeConfig("ternary", ternary=POOR), config, items, **more)


def test_healing_wins_back_what_rounding_lost(net: Any, tmp_path: Path) -> None:
    folder, items = net
    found = heal(folder, task(items), tmp_path)
    naive, healed = found.curve[0].loss, found.curve[-1].loss
    assert found.float_loss < naive
    assert healed < naive
    assert found.steps > 5
    assert found.cpu_s >= BUDGET.cpu_s
    # The control: the same data and time, never left out.
    assert found.control_curve[-1].cpu_s == pytest.approx(found.cpu_s, rel=0.5)
    assert found.control_curve[-1].loss < found.float_loss


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_trains_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    """In halves the squares of small gradients are zero, and the first step of training made everything NaN."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2)).to(dtype)
    items = [(x.to(dtype), (x.sum(-1) > 0).long()) for x in torch.randn(6, 32, 8)]
    program = captured(tmp_path / "program", module, items[0][0], dynamic="auto")
    twin = Twin(read_program(program), None, POOR)
    assert {w.dtype for w in twin.weights.values()} == {torch.float32}
    found = heal(program, task(items, HealConfig(0.1, 5e-3)), tmp_path)
    assert found.curve[-1].loss < 10  # and no NaN
    for weights in found.program.state_dict.values():
        assert weights.dtype == dtype
        assert torch.isfinite(weights).all()


def test_an_interrupted_training_goes_on_where_it_stood(net: Any, tmp_path: Path) -> None:
    folder, items = net
    long = HealConfig(1.0, 5e-3)

    def interrupt(name: str, state: Any, loss: float) -> None:
        if state.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        heal(folder, task(items, long, tell=interrupt), tmp_path)
    seen: list[int] = []
    found = heal(folder, task(items, long, tell=lambda name, state, loss: seen.append(state.step)), tmp_path)
    assert seen[0] in (10, 11)  # a point of the curve may be due before the next step
    assert 11 in seen
    assert found.curve[0].cpu_s == 0
    again: list[str] = []
    repeated = heal(folder, task(items, long, tell=lambda name, *_: again.append(name)), tmp_path)
    assert not again  # both were done
    assert repeated.curve == found.curve


def test_a_damaged_checkpoint_is_no_checkpoint(net: Any, tmp_path: Path) -> None:
    folder, items = net
    heal(folder, task(items), tmp_path)
    path = tmp_path / "healing.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert heal(folder, task(items), tmp_path).steps > 0


def test_a_good_enough_score_ends_it(net: Any, tmp_path: Path) -> None:
    folder, items = net
    x, y = items[0]
    long = HealConfig(12.0, 5e-3)  # a look at every second
    scored = task(
        items,
        long,
        score=lambda session: float((session(x).argmax(1) == y).float().mean()),
        enough=lambda value: True,
    )
    found = heal(folder, scored, tmp_path)
    assert 0 < found.cpu_s < 6
    assert all(point.score is not None for point in (*found.curve, *found.control_curve))


def test_outputs_alone_are_enough_to_distil(net: Any, tmp_path: Path) -> None:
    folder, items = net
    inputs = [x for x, _ in items]
    with pytest.raises(MissingInput, match="no target"):
        heal(folder, task(inputs), tmp_path)
    found = heal(folder, task(inputs, HealConfig(0.4, 5e-3, distill=True)), tmp_path)
    assert found.curve[-1].loss < found.curve[0].loss
    assert found.control_curve[-1].cpu_s == 0  # nothing to train the float program on


def test_a_teacher_is_asked_once_a_row(net: Any) -> None:
    folder, items = net
    data = TrainingData(items, read_signature(folder), seed=0)
    asked: list[int] = []

    def forward(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        asked.append(len(inputs[0]))
        return [inputs[0] * 2]

    teacher = Teacher(forward, data)
    for step in range(3 * data.steps):
        batch = data.batch(step)
        assert torch.equal(teacher(batch)[0], batch.inputs[0] * 2)
    assert sum(asked) == data.count - 32  # the held-out rows were never asked for


def test_every_epoch_sees_every_row_once(net: Any) -> None:
    folder, items = net
    data = TrainingData(items, read_signature(folder), seed=0)
    epochs = [torch.cat([data.batch(e * data.steps + i).rows for i in range(data.steps)]) for e in range(2)]
    held = torch.cat([batch.rows for batch in data.held_out()])
    assert not torch.equal(*epochs)
    for rows in epochs:
        assert sorted([*rows.tolist(), *held.tolist()]) == list(range(data.count))


def fails(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"items": []}, EmptyData, "training set is empty"),
        ({"items": [(torch.randn(1, 8), torch.zeros(1, dtype=torch.long))]}, EmptyData, "cannot be split"),
        ({"items": [(torch.randn(2, 8), torch.zeros(2)), torch.randn(2, 8)]}, BadTensor, "some have none"),
        ({"items": [(torch.randn(2, 7), torch.zeros(2))] * 3}, BadTensor, "shape"),
        ({"items": [(torch.full((2, 8), torch.nan), torch.zeros(2))] * 3}, NonFinite, "training item 0"),
        ({"items": [(torch.randn(2, 8), torch.zeros(2, 3, 3))] * 3}, BadTensor, "no default loss"),
        ({"loss": fails}, EvaluationFailed, "the loss raised ValueError: no"),
        ({"loss": lambda o, t: o}, EvaluationFailed, "no scalar"),
        ({"loss": lambda o, t: o.mean() * torch.nan}, NonFinite, "at step 0"),
        ({"config": QuantizeConfig("int8")}, QuantizeError, "nothing to heal"),
    ],
)
def test_what_cannot_be_trained_on(
    net: Any, tmp_path: Path, change: dict[str, Any], error: type[Exception], text: str
) -> None:
    folder, items = net
    values = {"config": QuantizeConfig("ternary"), "heal": BUDGET, "items": items} | change
    with pytest.raises(error, match=text):
        heal(folder, Task(**values), tmp_path)


@pytest.mark.parametrize("change", [{"cpu_s": 0.0}, {"cpu_s": float("nan")}, {"learning_rate": -1.0}])
def test_values_out_of_range(change: dict[str, float]) -> None:
    with pytest.raises(InputError):
        HealConfig(**{"cpu_s": 1.0, **change})


@pytest.mark.parametrize(
    ("output", "target"), [((4, 5), (4,)), ((4, 3, 5), (4, 3)), ((4, 5, 3, 3), (4, 3, 3))]
)
def test_classes_lie_last_or_on_axis_1(output: tuple[int, ...], target: tuple[int, ...]) -> None:
    labels = torch.randint(0, 5, target)
    logits = torch.full(output, -20.0)
    axis = -1 if output[:-1] == target else 1
    logits.scatter_(axis, labels.unsqueeze(axis), 20.0)
    assert float(default_loss(logits, labels)) < 1e-6
