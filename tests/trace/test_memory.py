from hypothesis import given
from hypothesis import strategies as st

from workbench.trace.records import (
    MEMORY_BREAK,
    MEMORY_FILE,
    MEMORY_MAP,
    MEMORY_REMAP,
    MEMORY_UNMAP,
    MemoryBody,
)
from workbench.trace.tiers.memory import AddressSpace

_PAGE = 4096
_pages = st.integers(0, 30)
_change = st.tuples(
    st.sampled_from([MEMORY_MAP, MEMORY_FILE, MEMORY_UNMAP, MEMORY_REMAP]),
    st.integers(1, 3),
    _pages,
    st.integers(1, 9),
    _pages,
    st.integers(1, 9),
)


@given(st.lists(_change, max_size=40))
def test_ranges_agree_with_a_page_by_page_account(changes):
    space, pages = AddressSpace(), {}
    for action, stack, at, length, old, old_length in changes:
        space.apply(action, MemoryBody(stack, at * _PAGE, length * _PAGE, old * _PAGE, old_length * _PAGE))
        gone = range(old, old + old_length) if action == MEMORY_REMAP else range(0)
        for page in (*gone, *range(at, at + length)):
            pages.pop(page, None)
        if action in (MEMORY_MAP, MEMORY_REMAP):
            pages.update(dict.fromkeys(range(at, at + length), stack))
    held = {stack: sums.bytes for _, stack, sums in space.sums() if sums.bytes}
    truth = {stack: list(pages.values()).count(stack) * _PAGE for stack in set(pages.values())}
    assert held == truth


def test_a_length_is_rounded_up_to_pages_and_counted_as_asked():
    space = AddressSpace()
    space.apply(MEMORY_MAP, MemoryBody(1, _PAGE, 5000, 0, 0))
    ((_, _, sums),) = space.sums()
    assert (sums.bytes, sums.total_bytes, sums.blocks, sums.total_blocks) == (8192, 5000, 1, 1)


def test_the_heap_grows_and_shrinks():
    space = AddressSpace(heap_end=100 * _PAGE)
    for end, stack in ((110, 1), (120, 2), (105, 3), (105, 4), (90, 5)):
        space.apply(MEMORY_BREAK, MemoryBody(stack, end * _PAGE, 0, 0, 0))
    assert {(allocator, stack, sums.bytes, sums.total_bytes) for allocator, stack, sums in space.sums()} == {
        ("brk", 1, 0, 10 * _PAGE),
        ("brk", 2, 0, 10 * _PAGE),
    }


def test_an_unknown_heap_begins_with_the_first_break():
    space = AddressSpace()
    space.apply(MEMORY_BREAK, MemoryBody(1, 10 * _PAGE, 0, 0, 0))
    assert list(space.sums()) == []
