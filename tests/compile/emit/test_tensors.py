"""Views of the generated code lie where numpy's lie."""

import numpy
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.compile.emit.sizes import Shape, c, symbol_of
from workbench.compile.emit.tensors import Buffer, whole

B, T = symbol_of("batch"), symbol_of("tokens")


def elements(tensor, data):
    """Return a view's elements by its own arithmetic."""
    shape = [int(size) for size in tensor.shape]
    places = numpy.full(shape, int(tensor.offset))
    for axis, (size, stride) in enumerate(zip(shape, tensor.strides, strict=True)):
        steps = numpy.arange(size) * int(stride)
        places += steps.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return data[places]


def pair(*shape):
    """Return the same memory as a tensor of the generated code and as an array."""
    sizes = tuple(sympy.Integer(s) for s in shape)
    data = numpy.arange(numpy.prod(shape, dtype=int))
    return whole(Buffer("b", "arena", "int64", sympy.Integer(data.size)), sizes), data, data.reshape(shape)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_chains_of_views_are_numpys(draw):
    shape = draw.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    tensor, data, array = pair(*shape)
    for _ in range(draw.draw(st.integers(1, 5))):
        axis = draw.draw(st.integers(0, array.ndim - 1)) if array.ndim else None
        kind = draw.draw(st.sampled_from(["permute", "slice", "select", "expand", "reshape"]))
        if kind == "permute":
            order = draw.draw(st.permutations(range(array.ndim)))
            tensor, array = tensor.permute(order), array.transpose(order)
        elif kind == "expand":
            tensor, array = (
                tensor.expand((sympy.Integer(2), *tensor.shape)),
                numpy.broadcast_to(array, (2, *array.shape)),
            )
        elif kind == "reshape":
            merged = array.shape if array.ndim < 2 else (array.shape[0] * array.shape[1], *array.shape[2:])
            view = tensor.reshape(tuple(sympy.Integer(s) for s in merged))
            if view is not None:
                tensor, array = view, array.reshape(merged)
        elif axis is not None and kind == "select":
            at = draw.draw(st.integers(0, array.shape[axis] - 1))
            tensor, array = tensor.select(axis, sympy.Integer(at)), array.take(at, axis)
        elif axis is not None:
            start = draw.draw(st.integers(0, array.shape[axis] - 1))
            step = draw.draw(st.integers(1, 2))
            size = len(range(start, array.shape[axis], step))
            tensor = tensor.slice(axis, *(sympy.Integer(v) for v in (start, size, step)))
            array = array[(slice(None),) * axis + (slice(start, None, step),)]
    numpy.testing.assert_array_equal(elements(tensor, data), array)


def symbolic(*shape: sympy.Expr) -> tuple[Buffer, Shape]:
    return Buffer("b", "arena", "float32", sympy.Mul(*shape)), tuple(sympy.sympify(s) for s in shape)


def test_a_view_of_heads_needs_no_copy_for_any_batch():
    x = whole(*symbolic(B, T, 3 * 64))
    heads = x.slice(2, sympy.Integer(64), sympy.Integer(64)).reshape(
        (B, T, sympy.Integer(4), sympy.Integer(16))
    )
    assert heads is not None
    assert heads.permute([0, 2, 1, 3]).strides == (
        192 * T,
        sympy.Integer(16),
        sympy.Integer(192),
        sympy.Integer(1),
    )
    assert heads.permute([0, 2, 1, 3]).reshape((B, T * 64)) is None


def test_rows_are_found_through_leading_axes():
    x = whole(*symbolic(B, T, 64))
    assert x.rows() == (B * T, sympy.Integer(64))
    assert x.slice(2, sympy.Integer(0), sympy.Integer(32)).rows() == (B * T, sympy.Integer(64))
    assert x.permute([1, 0, 2]).rows() is None
    assert x.permute([0, 2, 1]).rows() is None


def test_sizes_become_c():
    assert c(2 * B * T + 3) == "(3 + 2 * n_batch * n_tokens)"
    assert c(sympy.Max(B, T)) == "maximum(n_batch, n_tokens)"
    assert c(B**2) == "n_batch * n_batch"
