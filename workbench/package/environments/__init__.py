"""An environment lock made real again: a virtual environment, a container image, a Containerfile.

Files come from the interpreter that runs, as its packages list them (``RECORD``), wherever it has the locked
version; nothing is fetched for those, and equal environments give equal image digests.
"""

from .containerfile import containerfile, requirements
from .image import ImageReport, build_base, build_image
from .installed import Installed, closure, contents, installed
from .sandbox import Place, Sandbox
from .unpack import unpack_image
from .venv import VenvReport, build_venv

__all__ = [
    "ImageReport",
    "Installed",
    "Place",
    "Sandbox",
    "VenvReport",
    "build_base",
    "build_image",
    "build_venv",
    "closure",
    "containerfile",
    "contents",
    "installed",
    "requirements",
    "unpack_image",
]
