"""What a package is made of, as a CycloneDX bill of materials (JSON, version 1.6).

https://cyclonedx.org/docs/1.6/json/: the model is a ``machine-learning-model``, its files are ``file``
components with hashes, the environment it was compiled in gives one ``library`` a distribution with its package
URL. Written here rather than with a library, so that every package has one and equal packages have equal bytes;
the tests hold it against the published schema.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .environment import EnvironmentLock
from .layout import Descriptor

SPEC_VERSION = "1.6"
FILE_NAME = "sbom.cdx.json"


def bill_of_materials(
    name: str,
    version: str,
    files: Sequence[Descriptor],
    environment: EnvironmentLock,
    facts: Mapping[str, str],
) -> dict[str, Any]:
    """Return the bill as a JSON-able document.

    Parameters
    ----------
    name, version
        Of the model; the version is a digest.
    files
        What the package holds.
    facts
        More about the model, e.g. its backend; become properties named ``mlops:...``.

    Examples
    --------
    >>> lock = EnvironmentLock("cpython 3.11.2", "linux x86_64", ("numpy==2.4.6",))
    >>> bill = bill_of_materials("m", "sha256:00", (), lock, {})
    >>> [part["purl"] for part in bill["components"]]
    ['pkg:pypi/numpy@2.4.6']
    """
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": name,
        "version": version,
        "components": [_file(at, file) for at, file in enumerate(files)],
        "properties": [
            {"name": f"mlops:{key}", "value": value}
            for key, value in sorted(
                {**facts, "python": environment.python, "platform": environment.platform}.items()
            )
        ],
    }
    libraries = [_library(line) for line in environment.packages]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {version} {environment.digest}").urn,
        "version": 1,
        "metadata": {"component": model},
        "components": libraries,
        "dependencies": [{"ref": "model", "dependsOn": [library["bom-ref"] for library in libraries]}],
    }


def _file(at: int, file: Descriptor) -> dict[str, Any]:
    digest = file.digest.removeprefix("sha256:")
    # Two files may have the same bytes; references must differ.
    return {
        "type": "file",
        "bom-ref": f"file-{at}",
        "name": file.title,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _library(line: str) -> dict[str, Any]:
    name, _, version = line.partition("==")
    purl = f"pkg:pypi/{quote(name)}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
