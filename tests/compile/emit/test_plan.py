"""The arena: buffers that live at the same time never share memory, whatever the sizes turn out to be."""

import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.compile.emit.function import Function
from workbench.compile.emit.plan import plan
from workbench.compile.emit.sizes import evaluate
from workbench.compile.emit.tensors import Buffer, whole

N = sympy.Symbol("n_batch", integer=True, nonnegative=True)


@st.composite
def programs(draw):
    """Functions that each write one buffer and read some of those before."""
    functions, written = [], []
    for index in range(draw(st.integers(1, 12))):
        function = Function(f"op{index}", "")
        for buffer in draw(st.lists(st.sampled_from(written), max_size=3, unique=True)) if written else []:
            function.read(whole(buffer, (buffer.count,)), "x")
        count = draw(st.integers(1, 9)) * draw(st.sampled_from([sympy.Integer(1), N, N * N])) + draw(
            st.integers(0, 40)
        )
        buffer = Buffer(f"b{index}", "arena", "float32", count)
        function.write(whole(buffer, (count,)))
        written.append(buffer)
        functions.append(function)
    return functions


@settings(deadline=None, max_examples=150)
@given(programs(), st.integers(1, 9), st.integers(0, 40))
def test_buffers_that_live_together_lie_apart(functions, captured, run):
    made = plan(functions, {"n_batch": captured})
    first, last = {}, {}
    for index, function in enumerate(functions):
        for buffer in function.buffers:
            first.setdefault(buffer, index)
            last[buffer] = index
    for a in first:
        slot = made.slots[made.place[a]]
        assert slot.bytes_at({"n_batch": run}) >= evaluate(a.size_bytes, {"n_batch": run})
        for b in first:
            overlap = first[a] <= last[b] and first[b] <= last[a]
            assert a is b or not overlap or made.place[a] != made.place[b]


def test_a_chain_needs_two_slots_of_its_two_largest():
    functions, before = [], None
    for index, size in enumerate((100, 10, 50, 20, 80)):
        function = Function(f"op{index}", "")
        if before is not None:
            function.read(before, "x")
        count = sympy.Integer(size)
        before = whole(Buffer(f"b{index}", "arena", "float32", count), (count,))
        function.write(before)
        functions.append(function)
    made = plan(functions, {})
    assert sorted(slot.bytes_at({}) for slot in made.slots) == [80, 400]
