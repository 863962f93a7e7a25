"""Requests and answers of the Open Inference Protocol v2 as bytes, both ways, for the server and the client.

A message is JSON, or JSON followed by raw tensors (the *binary tensor data* extension)::

    Inference-Header-Content-Length: 184
    ┌──────────────────────────────┬────────────┬────────────┐
    │ JSON, 184 bytes              │ tensor     │ tensor     │
    └──────────────────────────────┴────────────┴────────────┘
      "parameters": {"binary_data_size": N} says which tensors are raw, in the order they are named

Pure: no sockets, no model. Whatever bytes come in, the only error is :class:`BadRequest`. BYTES tensors,
shared memory and classification are not spoken; asking for them is a BadRequest, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Never

from ..errors import BadRequest
from .tensors import Array, check_shape, datatype_of, dtype_of, from_bytes, from_json, to_bytes, to_json

HEADER_SIZE = "inference-header-content-length"
"""HTTP header that gives the length of the JSON part when raw tensors follow it."""

_ALIGNMENT = 64  # the JSON part is padded to this, so that tensors need no copy to be aligned
_NOT_SPOKEN = ("shared_memory_region", "classification")


@dataclass(frozen=True)
class OutputWish:
    """One output the caller asks for, and whether as raw bytes."""

    name: str
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """A decoded request.

    Parameters
    ----------
    inputs
        Arrays by name, in the order they came.
    outputs
        What the caller asks for; empty means every output.
    binary
        Whether outputs that are not named in `outputs` go out as raw bytes.
    id
        The caller's own name for the request, echoed in the answer.
    """

    inputs: Mapping[str, Array]
    outputs: tuple[OutputWish, ...] = ()
    binary: bool = False
    id: str = ""


@dataclass(frozen=True)
class InferAnswer:
    """A decoded answer: outputs by name, and who gave it."""

    model: str
    version: str
    outputs: Mapping[str, Array]
    id: str = ""


@dataclass(frozen=True)
class Message:
    """Bytes to send, and the length of their JSON part when raw tensors follow it."""

    body: bytes
    header_size: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that describe the body."""
        if self.header_size is None:
            return {"content-type": "application/json"}
        return {"content-type": "application/octet-stream", HEADER_SIZE: str(self.header_size)}


def decode_request(body: bytes | bytearray, header_size: str | None = None) -> InferRequest:
    """Return the request in `body`; `header_size` is the text of the HTTP header :data:`HEADER_SIZE`.

    Raises
    ------
    BadRequest
        If the bytes are not a request of this protocol.
    """
    document, tail = _open(body, header_size)
    parameters = _parameters(document, "request")
    binary = _flag(parameters, "binary_data_output", False, where="request parameters")
    wishes = _objects(document.get("outputs", []), "outputs")
    return InferRequest(
        inputs=_tensors(document, "inputs", tail),
        outputs=tuple(_wish(item, binary, f"outputs[{at}]") for at, item in enumerate(wishes)),
        binary=binary,
        id=_text(document, "id", where="request"),
    )


def encode_request(request: InferRequest, *, binary: bool = True) -> Message:
    """Return the bytes of a request; `binary` sends the inputs raw."""
    document: dict[str, Any] = {"id": request.id} if request.id else {}
    if request.binary:
        document["parameters"] = {"binary_data_output": True}
    if request.outputs:
        document["outputs"] = [
            {"name": w.name, "parameters": {"binary_data": w.binary}} for w in request.outputs
        ]
    return _close(document, "inputs", [(name, array, binary) for name, array in request.inputs.items()])


def encode_answer(answer: InferAnswer, wishes: Sequence[OutputWish]) -> Message:
    """Return the bytes of an answer with the outputs of `wishes`, in their order."""
    document: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.id:
        document["id"] = answer.id
    return _close(document, "outputs", [(w.name, answer.outputs[w.name], w.binary) for w in wishes])


def decode_answer(body: bytes | bytearray, header_size: str | None = None) -> InferAnswer:
    """Return the answer in `body`; the counterpart of :func:`encode_answer`.

    Raises
    ------
    BadRequest
        If the bytes are not an answer of this protocol.
    """
    document, tail = _open(body, header_size)
    return InferAnswer(
        model=_text(document, "model_name", where="answer"),
        version=_text(document, "model_version", where="answer"),
        outputs=_tensors(document, "outputs", tail),
        id=_text(document, "id", where="answer"),
    )


def parse_json(text: bytes | bytearray | memoryview) -> dict[str, Any]:
    """Return a JSON object, refusing NaN, excessive depth and everything that is not an object."""
    try:
        document = json.loads(bytes(text), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the JSON cannot be read: {error}", where="request body") from error
    if not isinstance(document, dict):
        raise BadRequest("the JSON must be an object", where="request body")
    return document


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON; send such values as binary data")


def _open(body: bytes | bytearray, header_size: str | None) -> tuple[dict[str, Any], memoryview]:
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


def _close(document: dict[str, Any], key: str, tensors: Sequence[tuple[str, Array, bool]]) -> Message:
    """Join a JSON object and its tensors into a message; the counterpart of :func:`_open`."""
    entries, raw = [], []
    for name, array, binary in tensors:
        entry: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(array.dtype.name),
            "shape": list(array.shape),
        }
        if binary:
            raw.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": raw[-1].nbytes}
        else:
            entry["data"] = to_json(array, where=f"tensor {name!r}")
        entries.append(entry)
    head = json.dumps({**document, key: entries}, separators=(",", ":"), allow_nan=False).encode()
    if not raw:
        return Message(head)
    head += b" " * (-len(head) % _ALIGNMENT)
    return Message(b"".join([head, *raw]), len(head))


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


def _tensors(document: Mapping[str, Any], key: str, tail: memoryview) -> dict[str, Array]:
    if key not in document:
        raise BadRequest(f"the JSON has no {key!r}", where="request body", fix=f'"{key}": [{{"name": ...}}]')
    rest, arrays = _Tail(tail), {}
    for at, item in enumerate(_objects(document[key], key)):
        name = _name(item, f"{key}[{at}]")
        if name in arrays:
            raise BadRequest(f"{name!r} is given twice", where=key)
        arrays[name] = _tensor(item, rest, where=f"{key[:-1]} {name!r}")
    if rest.taken != len(tail):
        raise BadRequest(f"{len(tail) - rest.taken} bytes behind the last tensor", where="request body")
    return arrays


def _tensor(item: Mapping[str, Any], tail: _Tail, *, where: str) -> Array:
    dtype = dtype_of(item.get("datatype"), where=where)
    shape = check_shape(item.get("shape"), where=where)
    parameters = _parameters(item, where)
    binary = "binary_data_size" in parameters
    if binary == ("data" in item):
        raise BadRequest(
            'exactly one of "data" and the parameter "binary_data_size" must be given', where=where
        )
    if binary:
        return from_bytes(tail.take(parameters["binary_data_size"], where=where), dtype, shape, where=where)
    return from_json(item["data"], dtype, shape, where=where)


def _wish(item: Mapping[str, Any], binary: bool, where: str) -> OutputWish:
    name = _name(item, where)
    where = f"output {name!r}"
    return OutputWish(name, _flag(_parameters(item, where), "binary_data", binary, where=where))


def _parameters(item: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    found = item.get("parameters", {})
    if not isinstance(found, dict):
        raise BadRequest("parameters must be an object", where=where)
    for name in _NOT_SPOKEN:
        if name in found:
            raise BadRequest(f"the parameter {name!r} is not supported by this server", where=where)
    return found


def _objects(value: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"{where!r} must be a list of objects", where="request body")
    return value


def _name(item: Mapping[str, Any], where: str) -> str:
    name = _text(item, "name", where=where)
    if not name:
        raise BadRequest("a tensor needs a name", where=where)
    return name


def _text(item: Mapping[str, Any], key: str, *, where: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be text", where=where)
    return value


def _flag(item: Mapping[str, Any], key: str, default: bool, *, where: str) -> bool:
    value = item.get(key, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{key} must be true or false", where=where)
    return value
