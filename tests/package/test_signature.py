"""Who signed what, checked by other people's code too; and everything that is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from tests.package.conftest import do_pack
from workbench.errors import InputError, MissingInput, UntrustedPackage
from workbench.package import inspect, signatures, unpack
from workbench.package import layout as oci
from workbench.package.keys import new_key, read_public, read_signing, read_trusted
from workbench.package.signature import pre_authentication, verify


@pytest.fixture
def signed(compiled: Path, tmp_path: Path) -> Path:
    new_key(tmp_path / "mine")
    do_pack(compiled, tmp_path / "package", key=read_signing(tmp_path / "mine"))
    return tmp_path / "package"


def trusted(tmp_path: Path, name: str = "mine") -> list[Any]:
    return [read_public(tmp_path / f"{name}.pub")]


def test_a_signed_package_unpacks_and_keeps_its_digest(compiled: Path, signed: Path, tmp_path: Path) -> None:
    plain = do_pack(compiled, tmp_path / "plain")
    package = unpack(signed, tmp_path / "out", trusted=trusted(tmp_path))
    assert package.digest == plain.digest
    assert (tmp_path / "out" / "model.onnx").exists()


def test_another_library_verifies_the_envelope(signed: Path, tmp_path: Path) -> None:
    (data,) = signatures(signed)
    document = json.loads(data)
    pem = load_pem_public_key((tmp_path / "mine.pub").read_bytes())
    assert isinstance(pem, Ed25519PublicKey)
    key = SSlibKey.from_crypto(pem, keyid=document["signatures"][0]["keyid"])
    envelope = Envelope.from_dict(document)
    assert list(envelope.verify([key], 1)) == [key.keyid]
    assert envelope.pae() == pre_authentication(
        document["payloadType"], base64.b64decode(document["payload"])
    )


def test_the_statement_names_the_package_and_its_ancestors(signed: Path) -> None:
    statement = json.loads(base64.b64decode(json.loads(signatures(signed)[0])["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert "sha256:" + statement["subject"][0]["digest"]["sha256"] == inspect(signed).digest


def edit_index(layout: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    change(index["manifests"])
    (layout / "index.json").write_text(json.dumps(index))


def test_nothing_untrusted_is_unpacked(compiled: Path, signed: Path, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    do_pack(compiled, tmp_path / "unsigned")
    cases = [
        (tmp_path / "unsigned", "mine", "it is not signed"),
        (signed, "other", "no trusted key made this signature"),
    ]
    for layout, key, text in cases:
        with pytest.raises(UntrustedPackage, match=text):
            unpack(layout, tmp_path / "out", trusted=trusted(tmp_path, key))
        assert not (tmp_path / "out").exists()


def test_a_signature_of_another_package_does_not_count(compiled: Path, signed: Path, tmp_path: Path) -> None:
    """An attacker moves a good signature to a changed package."""
    (compiled / "model.onnx").write_bytes(b"something else")
    do_pack(compiled, tmp_path / "changed")
    (entry,) = (e for e in index_of(signed) if e.get("artifactType") == oci.ENVELOPE)
    for blob in (signed / "blobs" / "sha256").iterdir():
        copy = tmp_path / "changed" / "blobs" / "sha256" / blob.name
        copy.write_bytes(blob.read_bytes())
    edit_index(tmp_path / "changed", lambda entries: entries.append(entry))
    with pytest.raises(Exception, match="of another package"):
        unpack(tmp_path / "changed", tmp_path / "out", trusted=trusted(tmp_path))
    with pytest.raises(UntrustedPackage, match="is of another package"):
        verify(inspect(tmp_path / "changed").digest, signatures(signed), trusted(tmp_path))
    assert not (tmp_path / "out").exists()


def index_of(layout: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((layout / "index.json").read_bytes())["manifests"]
    return entries


def test_a_changed_payload_breaks_the_signature(signed: Path, tmp_path: Path) -> None:
    document = json.loads(signatures(signed)[0])
    payload = bytearray(base64.b64decode(document["payload"]))
    payload[-3] ^= 1
    document["payload"] = base64.b64encode(bytes(payload)).decode()
    with pytest.raises(UntrustedPackage, match="no trusted key made this signature"):
        verify(inspect(signed).digest, [json.dumps(document).encode()], trusted(tmp_path))


@given(data=st.binary(max_size=200) | st.from_regex(rb'\{"payload": ?"[A-Za-z0-9+/=]{0,40}".{0,60}\}'))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(UntrustedPackage):
        verify("sha256:" + "0" * 64, [data], [])


def test_keys(tmp_path: Path) -> None:
    made = new_key(tmp_path / "keys" / "mine")
    assert (tmp_path / "keys" / "mine").stat().st_mode & 0o777 == 0o600
    secret = read_signing(tmp_path / "keys" / "mine")
    assert secret.public.id == made.id == read_public(tmp_path / "keys" / "mine.pub").id
    assert read_trusted(tmp_path / "keys")[0].name == "mine"
    assert read_trusted(tmp_path / "none") == ()
    assert "PRIVATE" not in repr(secret)
    with pytest.raises(InputError, match="there already"):
        new_key(tmp_path / "keys" / "mine")
    (tmp_path / "keys" / "mine").chmod(0o644)
    with pytest.raises(InputError, match="others may read"):
        read_signing(tmp_path / "keys" / "mine")


def test_files_that_are_no_keys(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        read_signing(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(InputError, match="not an unencrypted PEM key"):
        read_signing(tmp_path / "text")
    with pytest.raises(InputError, match="not a PEM public key"):
        read_public(tmp_path / "text")


def test_the_bill_of_materials_fits_the_published_schema(signed: Path) -> None:
    sbom = inspect(signed).sbom
    assert sbom is not None
    text = oci.blob_path(signed, sbom.digest).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["type"] == "machine-learning-model"
    assert [part["name"] for part in bill["metadata"]["component"]["components"]] == [
        file.title for file in inspect(signed).files
    ]
    assert {part["purl"] for part in bill["components"]} == {"pkg:pypi/numpy@2.4.6", "pkg:pypi/torch@2.13.0"}
