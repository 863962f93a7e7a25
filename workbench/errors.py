"""Every failure a user can meet, in one tree.

::

    WorkbenchError
    ├── InputError            the caller's value is wrong
    │   ├── MissingInput          a variable, file or attribute that is not there
    │   ├── BadTensor             wrong shape or dtype
    │   ├── NonFinite             NaN or Inf in weights or data
    │   ├── EmptyData             an empty calibration or evaluation set
    │   └── EvaluationFailed      the user's evaluation function raised or returned no number
    ├── StoreError            the store said no
    │   ├── UnknownArtifact       no such name or digest
    │   ├── CorruptArtifact       bytes do not match their digest
    │   ├── StorageFull           no space left on the device
    │   ├── NotWritable           no right to write there, or a file where a folder must be
    │   └── UnsafePath            a path that leaves its folder
    ├── CaptureError          the module cannot be exported
    ├── QuantizeError
    │   └── GateRefused           the quality gate refused the candidate, with its numbers
    ├── CompileError
    │   ├── UnknownBackend
    │   └── NumericalMismatch     compiled and eager outputs differ beyond the tolerance
    ├── TraceError
    │   └── NoPrivilege           the kernel does not allow this tier of tracing
    ├── RunError
    │   ├── UnknownRun
    │   ├── StepFailed            a step ended with an error we did not foresee; carries its log
    │   │   └── StepLost              what ran it was lost, such as a cluster's head
    │   └── RunCancelled
    ├── PackageError
    │   ├── UntrustedPackage      not signed by a key that is trusted
    │   └── RegistryError         a registry refused, or is not there
    ├── ServeError
    │   ├── BadRequest            a request that does not fit the protocol or the signature
    │   └── PortInUse
    ├── StagingError
    │   ├── UnknownDeployment
    │   ├── DeploymentBusy        another operation holds this deployment
    │   └── ReplicaFailed         a replica died or did not become ready
    └── MissingDependency     an optional package; carries the exact install command

Each error says three things: *what* happened, *where*, and *what to type next*. Errors cross
process boundaries as JSON (:meth:`WorkbenchError.to_json`), so a step that fails in its own process
raises the same class, with the same fields, in the notebook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self


class WorkbenchError(Exception):
    """Base of every failure the workbench reports.

    Parameters
    ----------
    what
        What happened, one sentence.
    where
        The artifact, layer, file, probe or line it happened at.
    fix
        What to type or do next.
    **fields
        JSON-able facts a program may want (numbers of a gate, a port, a digest).

    Examples
    --------
    >>> print(WorkbenchError("no model", where="minilm", fix="%mlops capture encoder"))
    no model
      where: minilm
      next:  %mlops capture encoder
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", **fields: Any) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix
        self.fields: dict[str, Any] = fields

    def __str__(self) -> str:
        more = [f"  {label} {text}" for label, text in (("where:", self.where), ("next: ", self.fix)) if text]
        return "\n".join([self.what, *more])

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows (IPython asks): the three lines, not the workbench's own frames.

        What a step's process recorded in ``fields["traceback"]`` comes first, the outer cause last.
        """
        recorded, cause = self.fields.get("traceback"), self.__cause__
        lines = [str(recorded).rstrip()] if recorded else []
        lines.append(f"{type(self).__name__}: {self}")
        if cause is not None and not recorded and not self._tells(cause):
            lines.append(f"  cause: {type(cause).__name__}: {cause}")
        return lines

    def _tells(self, cause: BaseException) -> bool:
        """Whether what happened already quotes the cause; torch's have pages of text below the first line."""
        first = str(cause).strip().partition("\n")[0]
        return bool(first) and first in self.what

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form that :func:`from_json` turns back into the same class."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
            "fields": self.fields,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Build one of this class from its JSON form."""
        return cls(
            str(data["what"]),
            where=str(data.get("where", "")),
            fix=str(data.get("fix", "")),
            **dict(data.get("fields", {})),
        )


class InputError(WorkbenchError):
    """Raised when the caller's value is wrong."""


class MissingInput(InputError):
    """Raised when a variable, file or attribute is not there."""


class BadTensor(InputError):
    """Raised when a tensor's shape or dtype does not fit."""


class NonFinite(InputError):
    """Raised when weights or data hold NaN or Inf."""


class EmptyData(InputError):
    """Raised when a calibration or evaluation set is empty."""


class EvaluationFailed(InputError):
    """Raised when the user's evaluation function raised or returned no number."""


class StoreError(WorkbenchError):
    """Raised when the store refuses or cannot answer."""


class UnknownArtifact(StoreError):
    """Raised when no artifact has this name or digest."""


class CorruptArtifact(StoreError):
    """Raised when bytes do not match their digest."""


class StorageFull(StoreError):
    """Raised when the device has no space left; nothing was lost."""


class NotWritable(StoreError):
    """Raised when a file or folder cannot be written: rights, a read-only disk, a file where a folder must be."""


class UnsafePath(StoreError):
    """Raised when a path would leave the folder it belongs to."""


class CaptureError(WorkbenchError):
    """Raised when a module cannot be exported; names the module and the line."""


class QuantizeError(WorkbenchError):
    """Raised when a scheme cannot be applied."""


class GateRefused(QuantizeError):
    """Raised when the quality gate refuses a candidate; ``fields`` carry its numbers."""


class CompileError(WorkbenchError):
    """Raised when a backend cannot compile or load a model."""


class UnknownBackend(CompileError):
    """Raised when no backend has this name."""


class NumericalMismatch(CompileError):
    """Raised when compiled and eager outputs differ beyond the stated tolerance."""


class TraceError(WorkbenchError):
    """Raised when tracing cannot start or a trace cannot be read."""


class NoPrivilege(TraceError):
    """Raised when the kernel does not allow the asked tier of tracing."""


class RunError(WorkbenchError):
    """Raised when a run cannot be started or followed."""


class UnknownRun(RunError):
    """Raised when no run has this id."""


class StepFailed(RunError):
    """Raised when a step ended in a way no other class foresees; carries the log's tail."""


class StepLost(StepFailed):
    """Raised when what ran a step was lost with it, such as a cluster's head; the step itself may be well."""


class RunCancelled(RunError):
    """Raised when a run was cancelled."""


class PackageError(WorkbenchError):
    """Raised when a bundle cannot be packed, unpacked or verified."""


class UntrustedPackage(PackageError):
    """Raised when no trusted key signed a package; it is never loaded."""


class RegistryError(PackageError):
    """Raised when a registry refuses, or goes away; what was transferred so far is kept."""


class ServeError(WorkbenchError):
    """Raised when a model server cannot start or answer."""


class BadRequest(ServeError):
    """Raised when a request does not fit the protocol or the signature."""


class PortInUse(ServeError):
    """Raised when the address to serve on is taken."""


class StagingError(WorkbenchError):
    """Raised when a deployment cannot be changed."""


class UnknownDeployment(StagingError):
    """Raised when no deployment has this name."""


class DeploymentBusy(StagingError):
    """Raised when another operation holds the deployment."""


class ReplicaFailed(StagingError):
    """Raised when a replica died or did not become ready in time."""


class MissingDependency(WorkbenchError):
    """Raised when an optional package is missing; ``fix`` is the exact install command."""


def _tree(root: type[WorkbenchError]) -> dict[str, type[WorkbenchError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_json(data: Mapping[str, Any]) -> WorkbenchError:
    """Return the error that :meth:`WorkbenchError.to_json` wrote, as its own class.

    Examples
    --------
    >>> type(from_json(UnknownRun("no run", where="r1").to_json())).__name__
    'UnknownRun'
    """
    kind = _tree(WorkbenchError).get(str(data.get("error")), StepFailed)
    return kind.of(data)


def missing_dependency(package: str, extra: str) -> MissingDependency:
    """Return the error for an absent optional package.

    Examples
    --------
    >>> missing_dependency("tvm", "tvm").fix
    "pip install 'mlops-workbench[tvm]'"
    """
    return MissingDependency(
        f"the package {package!r} is not installed",
        where=package,
        fix=f"pip install 'mlops-workbench[{extra}]'",
    )
