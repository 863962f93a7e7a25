"""An image layout as a root folder: every layer checked against its digest, nothing written outside."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from ...atomic import disk_guard
from ...errors import PackageError, UnsafePath
from .. import layout as oci
from ..blobs import Limits, open_blob, parse_document, read_blob, read_file
from ..layout import Descriptor
from ..model_image import IMAGE_CONFIG
from ..tar_layer import LAYER, digest_of

_IN_THE_WAY = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""What a member meets whose place, or whose link's end, is something else or not there."""


def unpack_image(layout: Path, out: Path, limits: Limits | None = None) -> dict[str, object]:
    """Write the files of an image into a folder and return its process configuration.

    Parameters
    ----------
    layout
        An image layout of uncompressed layers, such as :func:`build_image` writes.
    out
        The folder; made when absent.

    Raises
    ------
    CorruptArtifact
        If bytes are not what their digest says.
    PackageError
        If it is no such image, or larger than the limits.
    UnsafePath
        If a layer would write outside of `out`, or holds a device.
    """
    limits = limits or Limits()
    index = parse_document(read_file(layout / "index.json", limits), where="index")
    try:
        top = Descriptor.of(index["manifests"][0], oci.MANIFEST, where="index")
        manifest = parse_document(read_blob(layout, top, limits), where="manifest")
        layers = [Descriptor.of(one, LAYER, where="layers") for one in manifest["layers"]]
        head = Descriptor.of(manifest["config"], IMAGE_CONFIG, where="config")
    except (KeyError, IndexError, TypeError) as error:
        raise PackageError("the layout holds no image", where=str(layout)) from error
    if sum(layer.size_bytes for layer in layers) > limits.total_bytes:
        raise PackageError("the image is larger than the limit", where=str(layout))
    out.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        _unpack(layout, layer, out)
    config = json.loads(read_blob(layout, head, limits))
    return dict(config.get("config", {}))


def _unpack(layout: Path, layer: Descriptor, out: Path) -> None:
    digest_of(layout, layer)
    with disk_guard(out), open_blob(layout, layer) as reader, tarfile.open(fileobj=reader, mode="r|") as tar:
        try:
            for member in tar:
                _place(tar, member, out.resolve())
        except (ValueError, tarfile.ReadError, *_IN_THE_WAY) as error:
            raise UnsafePath(f"a layer does not unpack safely: {error}", where=layer.digest) from error


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    """Write one member; tarfile's own filters would do, but Debian 12's Python has none.

    A link may be absolute, as in every image, but nothing is written through one. Owners and set-id bits are not
    taken over.
    """
    path = _inside(root, member.name)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of an earlier layer
    if member.issym():
        if os.path.normpath(PurePosixPath(member.name).parent / member.linkname).startswith(".."):
            raise ValueError(f"{member.name!r} leads outside")
        path.symlink_to(member.linkname)
    elif member.islnk():
        path.hardlink_to(_inside(root, member.linkname))
    elif member.isreg():
        content = tar.extractfile(member)
        assert content is not None, "a file has content"
        with path.open("xb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        path.chmod(member.mode & (0o755 if member.mode & 0o100 else 0o644) | 0o600)
        os.utime(path, (member.mtime, member.mtime))  # compiled modules name their source's time
    else:
        raise ValueError(f"{member.name!r} is no file, folder or link")


def _inside(root: Path, name: str) -> Path:
    """Return where a member goes; its folder, links followed, must lie below the root."""
    parts = PurePosixPath(name)
    path = root / parts
    folder = root if path == root else path.parent.resolve()
    if parts.is_absolute() or ".." in parts.parts or not folder.is_relative_to(root):
        raise ValueError(f"{name!r} lies outside")
    return path
