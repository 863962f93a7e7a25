"""Requests and answers of the Open Inference Protocol v2 as bytes, both ways, for the server and the client.

A message is JSON, or JSON followed by raw tensors (the *binary tensor data* extension)::

    Inference-Header-Content-Length: 184
    ┌──────────────────────────────┬────────────┬────────────┐
    │ JSON, 184 bytes              │ tensor     │ tensor     │
    └──────────────────────────────┴────────────┴────────────┘
      "parameters": {"binary_data_size": N} says which tensors are raw, in the order they are named

or names a part of a shared memory region (the *system shared memory* extension), where the replica allows it.

Pure: no sockets, no model. Whatever bytes come in, the only error is :class:`BadRequest`. BYTES tensors and
classification are not spoken; asking for them is a BadRequest, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadRequest
from ..session import dtype_name
from .fields import flag, objects, parameters, parse_json, size, tensor_name, text
from .messages import HEADER_SIZE, InferAnswer, InferRequest, Message, OutputWish, Parts
from .shared_memory import Regions, Slice
from .tensors import Array, check_shape, datatype_of, dtype_of, from_bytes, from_json, to_bytes, to_json

__all__ = [
    "HEADER_SIZE",
    "InferAnswer",
    "InferRequest",
    "Message",
    "OutputWish",
    "Parts",
    "answer_parts",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_request",
    "place_of",
    "put_in_place",
    "request_parts",
]

_ENCODER = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False
)  # made once: json.dumps would make one a call
_ALIGNMENT = 64  # the JSON part is padded to this, so that tensors need no copy to be aligned


def decode_request(
    body: bytes | bytearray | memoryview, header_size: str | None = None, regions: Regions | None = None
) -> InferRequest:
    """Return the request in `body`; `header_size` is the text of the HTTP header :data:`HEADER_SIZE`.

    Without `regions`, a tensor in shared memory is refused.

    Raises
    ------
    BadRequest
        If the bytes are not a request of this protocol.
    """
    document, tail = _open(body, header_size)
    binary = flag(parameters(document, "request"), "binary_data_output", False, where="request parameters")
    wishes = objects(document.get("outputs", []), "outputs")
    return InferRequest(
        inputs=_tensors(document, "inputs", tail, regions),
        outputs=tuple(_wish(item, binary, regions, f"outputs[{at}]") for at, item in enumerate(wishes)),
        binary=binary,
        id=text(document, "id", where="request"),
    )


def encode_request(request: InferRequest, *, binary: bool = True) -> Message:
    """Return the bytes of a request; `binary` sends the inputs raw."""
    return request_parts(request, binary=binary).join()


def request_parts(request: InferRequest, *, binary: bool = True) -> Parts:
    """Return a request whose tensors still lie where they are."""
    document: dict[str, Any] = {"id": request.id} if request.id else {}
    if request.binary:
        document["parameters"] = {"binary_data_output": True}
    if request.outputs:
        document["outputs"] = [
            {"name": w.name, "parameters": {"binary_data": w.binary}} for w in request.outputs
        ]
    tensors = [(OutputWish(name, binary), array) for name, array in request.inputs.items()]
    return _close(document, "inputs", tensors, None)


def encode_answer(
    answer: InferAnswer, wishes: Sequence[OutputWish], regions: Regions | None = None
) -> Message:
    """Return the bytes of an answer with the outputs of `wishes`, in their order.

    Raises
    ------
    BadRequest
        If an output does not fit the place in shared memory that its wish names.
    """
    return answer_parts(answer, wishes, regions).join()


def answer_parts(answer: InferAnswer, wishes: Sequence[OutputWish], regions: Regions | None = None) -> Parts:
    """Return an answer whose tensors still lie where they are; raises as :func:`encode_answer`."""
    document: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.id:
        document["id"] = answer.id
    return _close(document, "outputs", [(w, answer.outputs[w.name]) for w in wishes], regions)


def decode_answer(body: bytes | bytearray | memoryview, header_size: str | None = None) -> InferAnswer:
    """Return the answer in `body`; the counterpart of :func:`encode_answer`.

    Raises
    ------
    BadRequest
        If the bytes are not an answer of this protocol.
    """
    document, tail = _open(body, header_size)
    return InferAnswer(
        model=text(document, "model_name", where="answer"),
        version=text(document, "model_version", where="answer"),
        outputs=_tensors(document, "outputs", tail),
        id=text(document, "id", where="answer"),
    )


def _open(body: bytes | bytearray | memoryview, header_size: str | None) -> tuple[dict[str, Any], memoryview]:
    """Split a message into its JSON object and the raw bytes behind it."""
    whole = memoryview(body)
    if header_size is None:
        return parse_json(whole), whole[len(whole) :]
    # isdecimal alone lets other scripts' digits through; ten digits are more than any body has.
    if not (header_size.isascii() and header_size.isdecimal() and len(header_size) <= 10):
        raise BadRequest(f"{HEADER_SIZE} is {header_size[:40]!r}, not a length", where="HTTP headers")
    cut = int(header_size)
    if cut > len(whole):
        raise BadRequest(f"{HEADER_SIZE} is {cut}, the body has {len(whole)} bytes", where="HTTP headers")
    return parse_json(whole[:cut]), whole[cut:]


def _close(
    document: dict[str, Any],
    key: str,
    tensors: Sequence[tuple[OutputWish, Array]],
    regions: Regions | None,
) -> Parts:
    """Join a JSON object and its tensors into a message; the counterpart of :func:`_open`."""
    entries, raw = [], []
    for wish, array in tensors:
        entry: dict[str, Any] = {
            "name": wish.name,
            "datatype": datatype_of(dtype_name(array.dtype)),
            "shape": list(array.shape),
        }
        if wish.place is not None:
            entry["parameters"] = put_in_place(wish.place, array, regions)
        elif wish.binary:
            raw.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": raw[-1].nbytes}
        else:
            entry["data"] = to_json(array, where=f"tensor {wish.name!r}")
        entries.append(entry)
    head = _ENCODER.encode({**document, key: entries}).encode()
    if raw:
        head += b" " * (-len(head) % _ALIGNMENT)
    return Parts(head, tuple(raw))


@dataclass
class _Tail:
    """The raw bytes behind the JSON, taken from the front as the tensors name them."""

    data: memoryview
    taken: int = field(default=0)

    def take(self, size: object, *, where: str) -> memoryview:
        left = len(self.data) - self.taken
        if type(size) is not int or not 0 <= size <= left:
            raise BadRequest(f"binary_data_size is {size!r}, {left} bytes are left", where=where)
        self.taken += size
        return self.data[self.taken - size : self.taken]


def _tensors(
    document: Mapping[str, Any], key: str, tail: memoryview, regions: Regions | None = None
) -> dict[str, Array]:
    if key not in document:
        raise BadRequest(f"the JSON has no {key!r}", where="request body", fix=f'"{key}": [{{"name": ...}}]')
    rest, arrays = _Tail(tail), {}
    for at, item in enumerate(objects(document[key], key)):
        name = tensor_name(item, f"{key}[{at}]")
        if name in arrays:
            raise BadRequest(f"{name!r} is given twice", where=key)
        arrays[name] = _tensor(item, rest, regions, where=f"{key[:-1]} {name!r}")
    if rest.taken != len(tail):
        raise BadRequest(f"{len(tail) - rest.taken} bytes behind the last tensor", where="request body")
    return arrays


def _tensor(item: Mapping[str, Any], tail: _Tail, regions: Regions | None, *, where: str) -> Array:
    dtype = dtype_of(item.get("datatype"), where=where)
    shape = check_shape(item.get("shape"), where=where)
    given = parameters(item, where)
    place = place_of(given, regions, where=where)
    binary = "binary_data_size" in given
    if binary + ("data" in item) + (place is not None) != 1:
        raise BadRequest(
            'exactly one of "data" and the parameters "binary_data_size" and "shared_memory_region" '
            "must be given",
            where=where,
        )
    if place is not None:
        assert regions is not None  # or place_of had refused
        return from_bytes(regions.read(place), dtype, shape, where=where)
    if binary:
        return from_bytes(tail.take(given["binary_data_size"], where=where), dtype, shape, where=where)
    return from_json(item["data"], dtype, shape, where=where)


def _wish(item: Mapping[str, Any], binary: bool, regions: Regions | None, where: str) -> OutputWish:
    name = tensor_name(item, where)
    where = f"output {name!r}"
    given = parameters(item, where)
    place = place_of(given, regions, where=where)
    return OutputWish(name, flag(given, "binary_data", binary, where=where), place)


def place_of(given: Mapping[str, Any], regions: Regions | None, *, where: str) -> Slice | None:
    """Return the part of a region that a tensor's parameters name, if they do.

    Raises
    ------
    BadRequest
        If they name one and this replica has no shared memory, or its offset or size is no number.
    """
    region = text(given, "shared_memory_region", where=where)
    if not region:
        return None
    if regions is None:
        raise BadRequest(
            "the parameter 'shared_memory_region' is not supported by this server",
            where=where,
            fix="start the replica with --shared-memory PREFIX",
        )
    offset = size(given, "shared_memory_offset", 0, where=where)
    return Slice(region, offset, size(given, "shared_memory_byte_size", None, where=where))


def put_in_place(place: Slice, array: Array, regions: Regions | None) -> dict[str, Any]:
    """Write an output to shared memory and return the parameters that say where it is."""
    assert regions is not None  # a wish with a place came through place_of
    data = to_bytes(array)
    regions.write(place, data)
    said = {"shared_memory_region": place.region, "shared_memory_byte_size": data.nbytes}
    return said | ({"shared_memory_offset": place.offset} if place.offset else {})
