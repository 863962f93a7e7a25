"""A package's signature: who vouches for exactly these bytes, and where they came from.

::

    index.json ─> manifest of the package                  (what is signed: its digest covers everything below)
               └> manifest of the signature ─ subject ──^
                     └─ layer: DSSE envelope of an in-toto Statement, predicate SLSA provenance v1

Formats: https://github.com/secure-systems-lab/dsse (envelope), https://github.com/in-toto/attestation
(Statement v1), https://slsa.dev/spec/v1.0/provenance (predicate), OCI image spec 1.1 (``subject``).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__
from ..errors import PackageError, UntrustedPackage
from . import layout as oci
from .keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILDER = f"urn:mlops-workbench:{__version__}"


def envelope(digest: str, name: str, lineage: Mapping[str, Any], key: SigningKey) -> bytes:
    """Return the signed statement that a package's manifest has this digest, and what it was made from.

    Parameters
    ----------
    digest
        ``sha256:<hex>`` of the package's manifest.
    lineage
        As in the package's config; its nodes become the provenance's dependencies.
    """
    predicate = {
        "buildDefinition": {
            "buildType": "urn:mlops-workbench:package:v1",
            "externalParameters": {"name": name},
            "resolvedDependencies": [_dependency(node) for node in lineage.get("nodes", ())],
        },
        "runDetails": {"builder": {"id": BUILDER}},
    }
    return seal(statement(digest, name, predicate), key)


def statement(digest: str, name: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return an in-toto statement: this digest has this SLSA provenance."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": PROVENANCE,
        "predicate": dict(provenance),
    }


def seal(document: Mapping[str, Any], key: SigningKey) -> bytes:
    """Return a statement in a DSSE envelope, signed."""
    payload = oci.canonical(document)
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
    return oci.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key.public.id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that DSSE signs: the type and the payload, each with its length.

    Examples
    --------
    >>> pre_authentication("t", b"body")
    b'DSSEv1 1 t 4 body'
    """
    return b"DSSEv1 %d %s %d %s" % (len(payload_type.encode()), payload_type.encode(), len(payload), payload)


def manifest(package: oci.Descriptor, statement: oci.Descriptor, empty: oci.Descriptor) -> dict[str, Any]:
    """Return the OCI manifest that ties a signature to its package."""
    return {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": oci.ENVELOPE,
        "config": empty.to_json(),
        "layers": [statement.to_json()],
        "subject": oci.Descriptor(package.media_type, package.digest, package.size_bytes).to_json(),
    }


def verify(digest: str, envelopes: Sequence[bytes], trusted: Sequence[PublicKey]) -> PublicKey:
    """Return the trusted key that signed this digest.

    Raises
    ------
    UntrustedPackage
        If none did: there is no signature, it is a stranger's, it is of other bytes, or it is broken.
    """
    if not envelopes:
        raise _untrusted(digest, "it is not signed", "sign it: mlops push NAME --sign KEY")
    reasons = []
    for data in envelopes:
        try:
            return _verify_one(digest, data, trusted)
        except PackageError as error:
            reasons.append(error.what)
    raise _untrusted(
        digest, "; ".join(reasons), "trust its key if you know whose it is: mlops key trust FILE.pub"
    )


def _verify_one(digest: str, data: bytes, trusted: Sequence[PublicKey]) -> PublicKey:
    payload, signatures = _open(data)
    message = pre_authentication(PAYLOAD_TYPE, payload)
    signer = next((key for key in trusted for one in signatures if key.verifies(one, message)), None)
    if signer is None:
        raise PackageError("no trusted key made this signature")
    # Only now is the payload worth reading.
    try:
        statement = json.loads(payload)
        subjects = [one["digest"]["sha256"] for one in statement["subject"]]
        fits = statement["_type"] == STATEMENT and digest.removeprefix("sha256:") in subjects
    except (ValueError, KeyError, TypeError) as error:
        raise PackageError(f"the signature by {signer.name} holds no statement") from error
    if not fits:
        raise PackageError(f"the signature by {signer.name} is of another package")
    return signer


def _open(data: bytes) -> tuple[bytes, list[bytes]]:
    try:
        document = json.loads(data)
        if document["payloadType"] != PAYLOAD_TYPE:
            raise PackageError(f"the signature holds a {document['payloadType']!r}")
        payload = base64.b64decode(document["payload"], validate=True)
        return payload, [base64.b64decode(one["sig"], validate=True) for one in document["signatures"]]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise PackageError("the signature is no DSSE envelope") from error


def _dependency(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ancestor as a resource: what it is, its digest, and how it was made where that is known."""
    resource = {"name": node["kind"], "digest": {"sha256": str(node["digest"]).removeprefix("sha256:")}}
    notes = {key: node[key] for key in ("made_by", "code", "environment") if node.get(key)}
    return {**resource, "annotations": notes} if notes else resource


def _untrusted(digest: str, why: str, fix: str) -> UntrustedPackage:
    return UntrustedPackage(f"the package is not trusted: {why}", where=digest, fix=fix)
