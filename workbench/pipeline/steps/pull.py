"""The step ``pull``: a package from a registry into the store, if it proves itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ... import codec
from ...codec import register
from ...errors import PackageError
from ...render.table import Table
from ...types import Signature
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult, table_json


@register("pull_step")
@dataclass(frozen=True)
class PullStep:
    """Pull a package. A tag moves, so it is never answered from the cache.

    Parameters
    ----------
    reference
        Where from, as ``http://host:port/repository:tag``.
    name
        What to call it in the store.
    """

    verb: ClassVar[str] = "pull"
    inputs: ClassVar[tuple[str, ...]] = ()
    code: ClassVar[tuple[str, ...]] = ()
    stays: ClassVar[str] = "it asks the keys that this store trusts"

    reference: str
    name: str = ""


@step_body(PullStep)
def pull(step: PullStep, context: StepContext) -> StepResult:
    """Download, check every byte and, where the store trusts keys, the signature."""
    from ...package import Reference, pull_layout, signatures
    from ...package.keys import TRUST_FOLDER, read_trusted
    from ...package.signature import verify

    context.stage(f"pulling {step.reference}")
    got = [0]

    def progress(count: int) -> None:
        got[0] += count
        context.progress(f"{got[0] / 1e6:.1f} MB received")

    out, home = context.folder() / "package", context.store.home
    package = pull_layout(Reference.parse(step.reference), out, home / "pulls", progress=progress)
    trusted = read_trusted(home / TRUST_FOLDER)
    signer = verify(package.digest, signatures(out), trusted).name if trusted else "not checked"
    signature = codec.from_json(package.config.get("signature"))
    if not isinstance(signature, Signature):
        raise PackageError("the package does not say what its model takes", where=step.reference)
    digest = context.put("package", out, signature=signature)
    row = (package.name, len(package.files), got[0] / 1e6, package.digest[:19], signer)
    table = Table(("package", "files", "MB received", "OCI manifest", "signed by"), (row,))
    return StepResult(digest, tables=(table_json(table),), details={"oci_digest": package.digest})
