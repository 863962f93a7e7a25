"""Ed25519 keys in PEM files (cryptography: ``pip install 'mlops-workbench[sign]'``).

A key's id is the SHA-256 of its public half in DER form, so that the same key has the same id everywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from .. import atomic
from ..errors import InputError, MissingInput, missing_dependency

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TRUST_FOLDER = "trust"
"""Of a store: public keys that may sign what is staged. Without a key there, nothing has to be signed."""

_MAX_BYTES = 64 << 10


@dataclass(frozen=True)
class PublicKey:
    """What checks signatures.

    Parameters
    ----------
    id
        Hex SHA-256 of the key in DER form.
    name
        For people: the file's name without its ending.
    """

    id: str
    name: str
    _key: Ed25519PublicKey

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Return whether `signature` is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """What makes signatures; its secret half is never shown."""

    public: PublicKey
    _key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id[:12]})"

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return self._key.sign(message)


def new_key(path: Path) -> PublicKey:
    """Make a key pair: `path` (readable by its owner only) and ``path.pub`` beside it.

    Raises
    ------
    InputError
        If one of the files is there already: a lost key cannot be made again.
    """
    serialization, private, _ = _library()
    public_path = path.with_name(path.name + ".pub")
    for taken in (path, public_path):
        if taken.exists():
            raise InputError("the file is there already", where=str(taken), fix="choose another name")
    key = private.generate()
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    with atomic.disk_guard(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, secret, mode=0o600)
    atomic.write_bytes(public_path, public)
    return read_public(public_path)


def read_signing(path: Path) -> SigningKey:
    """Return a secret key.

    Raises
    ------
    MissingInput, InputError
        If the file is not there, not an unencrypted Ed25519 key, or others may read it.
    """
    serialization, private, _ = _library()
    data = _read(path)
    if path.stat().st_mode & 0o077:
        raise InputError("others may read this secret key", where=str(path), fix=f"chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise InputError("not an unencrypted PEM key", where=str(path), fix="mlops key new PATH") from error
    if not isinstance(key, private):
        raise InputError("not an Ed25519 key", where=str(path), fix="mlops key new PATH")
    return SigningKey(_public(key.public_key(), path.stem), key)


def read_public(path: Path) -> PublicKey:
    """Return a public key.

    Raises
    ------
    MissingInput, InputError
        If the file is not there or holds no Ed25519 public key.
    """
    serialization, _, public = _library()
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, TypeError) as error:
        raise InputError("not a PEM public key", where=str(path), fix="the file that ends in .pub") from error
    if not isinstance(key, public):
        raise InputError("not an Ed25519 key", where=str(path), fix="mlops key new PATH")
    return _public(key, path.stem)


def read_trusted(folder: Path) -> tuple[PublicKey, ...]:
    """Return every public key of a folder (``*.pub``); none when there is no folder."""
    return tuple(read_public(path) for path in sorted(folder.glob("*.pub")))


def _public(key: Ed25519PublicKey, name: str) -> PublicKey:
    serialization, _, _ = _library()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(hashlib.sha256(der).hexdigest(), name, key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise MissingInput(f"no key: {error.strerror}", where=str(path), fix="mlops key new PATH") from error
    if len(data) > _MAX_BYTES:
        raise InputError("the file is too large for a key", where=str(path))
    return data


def _library() -> tuple[ModuleType, type[Ed25519PrivateKey], type[Ed25519PublicKey]]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise missing_dependency("cryptography", "sign") from error
    return serialization, ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey
