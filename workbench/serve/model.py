"""A loaded model that answers messages: decode, check, run, encode. No HTTP, no event loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BadRequest, ServeError, WorkbenchError
from ..session import Session, check_feeds
from ..types import TensorSpec
from .protocol import InferAnswer, InferRequest, Message, OutputWish, decode_request, encode_answer
from .tensors import Array, datatype_of


@dataclass(frozen=True)
class ServedModel:
    """One version of one model.

    Parameters
    ----------
    name, version
        What requests call it.
    session
        Runs it.
    platform
        What runs it, as ``<backend>_<format>``, e.g. ``onnxruntime_onnx``.
    """

    name: str
    version: str
    session: Session
    platform: str

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata; a dynamic size is -1."""
        signature = self.session.signature
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [_describe(spec) for spec in signature.inputs],
            "outputs": [_describe(spec) for spec in signature.outputs],
        }

    def answer(self, body: bytes | bytearray, header_size: str | None) -> Message:
        """Return the answer to one request's bytes.

        Raises
        ------
        BadRequest, BadTensor
            If the request does not fit the protocol or the signature.
        ServeError
            If the model fails or gives something the protocol cannot carry.
        """
        request = decode_request(body, header_size)
        wishes = self._wishes(request)
        check_feeds(self.session.signature, request.inputs, where=self.name)
        outputs = self.run(request.inputs)
        return encode_answer(InferAnswer(self.name, self.version, outputs, request.id), wishes)

    def run(self, feeds: Any) -> dict[str, Array]:
        """Run one forward pass and hold the backend to the signature.

        Raises
        ------
        ServeError
            If the backend fails, or an output is missing or has another dtype or rank than declared.
        """
        try:
            outputs = self.session.runner.run(feeds)
        except WorkbenchError:
            raise
        except Exception as error:
            raise ServeError(f"the model failed: {type(error).__name__}: {error}", where=self.name) from error
        for spec in self.session.signature.outputs:
            given = outputs.get(spec.name)
            if given is None or str(given.dtype) != spec.dtype or given.ndim != len(spec.shape):
                raise ServeError(
                    f"the model gave {_show(given)}",
                    where=f"{self.name}, output {spec.name!r}",
                    fix=f"its signature declares {spec.dtype}{list(spec.shape)}",
                )
        return outputs

    def _wishes(self, request: InferRequest) -> tuple[OutputWish, ...]:
        names = [spec.name for spec in self.session.signature.outputs]
        for wish in request.outputs:
            if wish.name not in names:
                raise BadRequest(
                    f"no output {wish.name!r}", where=self.name, fix="outputs: " + ", ".join(names)
                )
        return request.outputs or tuple(OutputWish(name, request.binary) for name in names)


def _describe(spec: TensorSpec) -> dict[str, Any]:
    sizes = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": sizes}


def _show(given: Array | None) -> str:
    return f"{np.asarray(given).dtype}{list(np.shape(given))}" if given is not None else "nothing"
