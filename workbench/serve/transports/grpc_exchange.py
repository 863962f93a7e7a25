"""One inference over gRPC: a ``ModelInferRequest`` in, a ``ModelInferResponse`` out, as bytes.

Tensors come raw (``raw_input_contents``, one for each input that is not in shared memory, in order) or as typed
lists (``contents``); they go out raw or to shared memory, which is what the protocol's clients ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import BadRequest
from ..protocol import InferAnswer, InferRequest, OutputWish, place_of, put_in_place
from ..shared_memory import Regions
from ..tensors import Array, check_shape, datatype_of, dtype_of, from_bytes, from_json, to_bytes
from .grpc_messages import MESSAGES, parse

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


@dataclass
class GrpcExchange:
    """A message that asks, and the message that answers it.

    Parameters
    ----------
    message
        A parsed ``ModelInferRequest``.
    regions
        Shared memory, where the replica has it.
    """

    message: Any
    regions: Regions | None

    def decode(self) -> InferRequest:
        """Return the request.

        Raises
        ------
        BadRequest
            If it does not fit the protocol.
        """
        raw = list(self.message.raw_input_contents)
        inputs: dict[str, Array] = {}
        for item in self.message.inputs:
            if item.name in inputs or not item.name:
                raise BadRequest(f"{item.name!r} is given twice or is no name", where="inputs")
            inputs[item.name] = self._input(item, raw)
        if raw:
            raise BadRequest(f"{len(raw)} raw_input_contents without an input", where="raw_input_contents")
        wishes = tuple(self._wish(item) for item in self.message.outputs)
        return InferRequest(inputs, wishes, binary=True, id=self.message.id)

    def encode(self, answer: InferAnswer, wishes: Sequence[OutputWish]) -> bytes:
        """Return the bytes of the answer."""
        response = MESSAGES["ModelInferResponse"](
            model_name=answer.model, model_version=answer.version, id=answer.id
        )
        for wish in wishes:
            array = answer.outputs[wish.name]
            item = response.outputs.add(
                name=wish.name, datatype=datatype_of(array.dtype.name), shape=array.shape
            )
            if wish.place is None:
                response.raw_output_contents.append(bytes(to_bytes(array)))
                continue
            for key, value in put_in_place(wish.place, array, self.regions).items():
                kind = "string_param" if isinstance(value, str) else "int64_param"
                setattr(item.parameters[key], kind, value)
        data: bytes = response.SerializeToString()
        return data

    def _input(self, item: Any, raw: list[bytes]) -> Array:
        where = f"input {item.name!r}"
        dtype = dtype_of(item.datatype, where=where)
        shape = check_shape(list(item.shape), where=where)
        place = place_of(_parameters(item), self.regions, where=where)
        if place is not None:
            assert self.regions is not None  # or place_of had refused
            return from_bytes(self.regions.read(place), dtype, shape, where=where)
        if item.HasField("contents"):
            field = _CONTENTS.get(item.datatype)
            if field is None:
                raise BadRequest(f"{item.datatype} goes as raw_input_contents only", where=where)
            return from_json(list(getattr(item.contents, field)), dtype, shape, where=where)
        if not raw:
            raise BadRequest("neither contents nor raw_input_contents", where=where)
        return from_bytes(memoryview(raw.pop(0)), dtype, shape, where=where)

    def _wish(self, item: Any) -> OutputWish:
        where = f"output {item.name!r}"
        given = _parameters(item)
        if "classification" in given:
            raise BadRequest("the parameter 'classification' is not supported by this server", where=where)
        return OutputWish(item.name, True, place_of(given, self.regions, where=where))


def request_of(data: bytes) -> Any:
    """Return the ``ModelInferRequest`` in `data`, or raise :class:`BadRequest`."""
    return parse("ModelInferRequest", data)


def _parameters(item: Any) -> Mapping[str, Any]:
    return {
        key: getattr(value, value.WhichOneof("choice") or "int64_param")
        for key, value in item.parameters.items()
    }
