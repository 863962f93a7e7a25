"""The messages of the protocol's gRPC service, described here instead of generated.

Field numbers are those of the public ``grpc_service.proto`` (https://github.com/kserve/open-inference-protocol,
and its shared memory extension by Triton). The descriptors live in a pool of their own: a client library in the
same process registers the same names in the default pool, which takes each only once.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ...errors import BadRequest

SERVICE = "inference.GRPCInferenceService"

_TENSOR = "1 name string, 2 datatype string, 3 shape int64*, 4 parameters map"
_MESSAGES = {
    "InferParameter": "1 bool_param bool?, 2 int64_param int64?, 3 string_param string?, "
    "4 double_param double?, 5 uint64_param uint64?",
    "InferTensorContents": "1 bool_contents bool*, 2 int_contents int32*, 3 int64_contents int64*, "
    "4 uint_contents uint32*, 5 uint64_contents uint64*, 6 fp32_contents float*, 7 fp64_contents double*, "
    "8 bytes_contents bytes*",
    "InferInputTensor": _TENSOR + ", 5 contents InferTensorContents",
    "InferOutputTensor": _TENSOR,
    "InferRequestedOutputTensor": "1 name string, 2 parameters map",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 4 parameters map, "
    "5 inputs InferInputTensor*, 6 outputs InferRequestedOutputTensor*, 7 raw_input_contents bytes*",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 4 parameters map, "
    "5 outputs InferOutputTensor*, 6 raw_output_contents bytes*",
    "Empty": "",
    "Live": "1 live bool",
    "Ready": "1 ready bool",
    "Name": "1 name string",
    "NameVersion": "1 name string, 2 version string",
    "ServerMetadata": "1 name string, 2 version string, 3 extensions string*",
    "TensorMetadata": "1 name string, 2 datatype string, 3 shape int64*",
    "ModelMetadata": "1 name string, 2 versions string*, 3 platform string, 4 inputs TensorMetadata*, "
    "5 outputs TensorMetadata*",
    "Region": "1 name string, 2 key string, 3 offset uint64, 4 byte_size uint64",
    "Regions": "1 regions map:Region",
}

METHODS = {
    "ServerLive": ("Empty", "Live"),
    "ServerReady": ("Empty", "Ready"),
    "ModelReady": ("NameVersion", "Ready"),
    "ServerMetadata": ("Empty", "ServerMetadata"),
    "ModelMetadata": ("NameVersion", "ModelMetadata"),
    "ModelInfer": ("ModelInferRequest", "ModelInferResponse"),
    "SystemSharedMemoryStatus": ("Name", "Regions"),
    "SystemSharedMemoryRegister": ("Region", "Empty"),
    "SystemSharedMemoryUnregister": ("Name", "Empty"),
}
"""Method -> messages in and out. Names of messages never travel; only their fields do."""

_FIELD = re.compile(r"(\d+) (\w+) (map(?::\w+)?|\w+)([*?]?)")


def _classes() -> dict[str, Any]:
    """Return the message classes by name."""
    file = descriptor_pb2.FileDescriptorProto(name="oip.proto", package="oip", syntax="proto3")
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind, mark in _FIELD.findall(text):
            _add_field(message, int(number), field, kind, mark)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"oip.{name}")) for name in _MESSAGES}


def _add_field(message: Any, number: int, name: str, kind: str, mark: str) -> None:
    scalar = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{kind.upper()}", None)
    field = message.field.add(
        name=name, number=number, label="LABEL_REPEATED" if mark == "*" else "LABEL_OPTIONAL"
    )
    if kind.startswith("map"):
        value = kind.partition(":")[2] or "InferParameter"
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, 1, "key", "string", "")
        _add_field(entry, 2, "value", value, "")
        field.label, kind = field.LABEL_REPEATED, f"{message.name}.{entry.name}"
    if scalar is None:
        field.type, field.type_name = field.TYPE_MESSAGE, f".oip.{kind}"
    else:
        field.type = scalar
    if mark == "?":  # one of a choice
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0


MESSAGES = _classes()


def parse(name: str, data: bytes) -> Any:
    """Return the message in `data`.

    Raises
    ------
    BadRequest
        If the bytes are not such a message.
    """
    from google.protobuf.message import DecodeError

    try:
        return MESSAGES[name].FromString(data)
    except DecodeError as error:
        raise BadRequest(f"the message cannot be read: {error}", where=name) from error
