"""The numerical check, number by number."""

import numpy
import pytest

from workbench.compile.check import Case, compare
from workbench.compile.tolerance import Tolerance
from workbench.errors import NumericalMismatch

LOOSE = Tolerance(absolute=0.01, relative=0.1)


class Fixed:
    """A runner that always gives the same."""

    def __init__(self, **outputs):
        self.outputs = {k: numpy.array(v) for k, v in outputs.items()}

    def run(self, feeds):
        return self.outputs


def check(given, expected, tolerance=LOOSE):
    return compare(Fixed(y=given), [Case({"n": 2}, {}, {"y": numpy.array(expected)})], tolerance, "here")


def test_the_largest_error_is_returned():
    assert check([1.0, 2.0, 9.5], [1.0, 2.0, 10.0]) == pytest.approx(0.5)


def test_the_peak_scales_what_is_allowed():
    assert check([0.5, 10.0], [0.0, 10.0]) == pytest.approx(0.5)
    with pytest.raises(NumericalMismatch, match=r"differs from eager by 0.5, at most 0.11 is allowed"):
        check([0.5, 1.0], [0.0, 1.0])


@pytest.mark.parametrize(
    ("given", "expected"),
    [([numpy.nan], [1.0]), ([1.0], [numpy.nan]), ([numpy.inf], [-numpy.inf]), ([numpy.inf], [1.0])],
)
def test_nan_and_inf_must_stand_at_the_same_places(given, expected):
    with pytest.raises(NumericalMismatch):
        check(given, expected)


def test_equal_nan_and_inf_pass():
    assert check([numpy.nan, numpy.inf, 1.0], [numpy.nan, numpy.inf, 1.0]) == 0
    assert check([numpy.nan], [numpy.nan]) == 0


def test_integers_and_booleans_count_differing_elements():
    assert check([1] * 10 + [2], [1] * 11) == 0
    with pytest.raises(NumericalMismatch, match=r"0.25 of the elements of output 'y' differ"):
        check([True, True, False, True], [True] * 4)


@pytest.mark.parametrize(
    ("given", "text"),
    [([[1.0]], r"output 'y' is float64\[1, 1\], eager gives float64\[1\]"), ([1], r"is int64\[1\]")],
)
def test_shape_and_dtype(given, text):
    with pytest.raises(NumericalMismatch, match=text) as caught:
        check(given, [1.0])
    assert caught.value.where == "here, sizes n=2"


def test_nothing_to_compare():
    assert check(numpy.zeros((0, 3)), numpy.zeros((0, 3))) == 0
