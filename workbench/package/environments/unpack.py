"""An image layout as a root folder: every layer checked against its digest, nothing written outside."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from ...atomic import disk_guard
from ...errors import PackageError, UnsafePath
from .. import layout as oci
from ..blobs import Limits, open_blob, parse_document, read_blob, read_file
from ..layout import Descriptor
from ..model_image import IMAGE_CONFIG
from ..tar_layer import LAYER, digest_of


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
                tar.extract(member, out, filter=_safe)
        except (tarfile.FilterError, tarfile.ReadError) as error:
            raise UnsafePath(f"a layer does not unpack safely: {error}", where=layer.digest) from error


def _safe(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """Take files, folders and links; a link may be absolute, as in every image, but nothing is written through one."""
    if member.issym() and member.linkname.startswith("/"):
        checked = tarfile.tar_filter(member.replace(linkname="x", deep=False), path)
        return checked.replace(linkname=member.linkname, deep=False) if checked else None
    return tarfile.data_filter(member, path)
