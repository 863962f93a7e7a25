"""Who goes on after a rung: the first front always, the rest by rank, nobody who cannot pass the gate."""

import math

from hypothesis import given
from hypothesis import strategies as st

from workbench.pipeline.sweep.halving import Standing, beats, clearly, front, stops

standings = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=12).map(
    lambda pairs: [Standing(f"{n % 3}/{n}", score / 20, 1.0, size) for n, (score, size) in enumerate(pairs)]
)


@given(standings)
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(found):
    best = front(found)
    for one in found:
        assert (one in best) == (not any(beats(other, one) for other in found))


@given(standings, st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([None, 0.1, 0.6]), st.integers(2, 4))
def test_what_stops_has_a_reason(found, fraction, max_drop, eta):
    ended = stops(found, fraction, max_drop, eta)
    by_gate = {one.key for one in found if max_drop is not None and one.drop > max_drop / math.sqrt(fraction)}
    assert by_gate <= ended.keys()
    left = [one for one in found if one.key not in by_gate]
    assert {one.key for one in front(left)}.isdisjoint(ended), "the first front goes on"
    on = len(found) - len(ended)
    unbeaten = sum(not any(clearly(other, one) for other in left) for one in left)
    assert on == max(math.ceil(len(left) / eta), unbeaten)


def test_a_gate_is_wider_on_less_data():
    one = [Standing("a", 0.85, 1.0, 10)]
    assert stops(one, 0.25, 0.1, 3) == {}
    assert "drops by 0.15 on 64 %" in stops(one, 0.64, 0.1, 3)["a"]


def test_a_tie_on_a_part_of_the_data_stops_no_other_scheme():
    four, eight, slow = (
        Standing("int4/a", 1, 1, 10),
        Standing("int8/a", 1, 1, 20),
        Standing("int8/b", 1, 1, 25),
    )
    assert stops([four, eight, slow], 1 / 9, 0.1, 3) == {"int8/b": "int8/a is as good and smaller"}
    worse = Standing("int8/a", 0.9, 1, 20)
    assert stops([four, worse], 1 / 9, 0.1, 3) == {"int8/a": "int4/a is better and no larger"}
