"""A loaded model that answers exchanges, one or several at once: decode, check, run, encode. No network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BadRequest, ServeError, WorkbenchError
from ..session import Session, check_feeds, dtype_name
from ..types import TensorSpec
from .batching import CostCurve
from .exchange import Job
from .protocol import InferAnswer, InferRequest, OutputWish
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
    costs
        What a batch costs; ``None`` when requests are not batched.
    """

    name: str
    version: str
    session: Session
    platform: str
    costs: CostCurve | None = None

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

    def decode(self, job: Job) -> None:
        """Read a job's request and check it.

        Raises
        ------
        BadRequest, BadTensor
            If the request does not fit the protocol or the signature.
        """
        if not job.decoded:
            job.request = job.exchange.decode()
            job.wishes = self._wishes(job.request)
            check_feeds(self.session.signature, job.request.inputs, where=self.name)
            job.decoded = True

    def together(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the decoded jobs to run next as one batch: the first, and others of its shape."""
        if self.costs is None or len(jobs) == 1:
            return list(jobs[:1])
        shape = _row_shape(jobs[0].request)
        alike = [job for job in jobs if _row_shape(job.request) == shape]
        return alike[: self.costs.first_batch(tuple(_rows(job.request) for job in alike))]

    def answer(self, jobs: Sequence[Job]) -> list[Any]:
        """Return the answers to decoded jobs that were run together, each as its transport sends it.

        Raises
        ------
        ServeError
            If the model fails or gives something the protocol cannot carry.
        """
        parts = [job.request.inputs for job in jobs]
        if len(jobs) == 1:
            return [self._encode(jobs[0], self.run(parts[0]))]
        whole = self.run({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        answers, start = [], 0
        for job in jobs:
            end = start + _rows(job.request)
            answers.append(self._encode(job, {name: array[start:end] for name, array in whole.items()}))
            start = end
        return answers

    def _encode(self, job: Job, outputs: dict[str, Array]) -> Any:
        return job.exchange.encode(InferAnswer(self.name, self.version, outputs, job.request.id), job.wishes)

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
            if given is None or dtype_name(given.dtype) != spec.dtype or given.ndim != len(spec.shape):
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


def _rows(request: InferRequest) -> int:
    return len(next(iter(request.inputs.values())))


def _row_shape(request: InferRequest) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((name, array.shape[1:]) for name, array in request.inputs.items()))


def _describe(spec: TensorSpec) -> dict[str, Any]:
    sizes = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": sizes}


def _show(given: Array | None) -> str:
    return f"{np.asarray(given).dtype}{list(np.shape(given))}" if given is not None else "nothing"
