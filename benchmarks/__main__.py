"""The command line: run one benchmark, print one JSON object. Progress and faults go to the error stream."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from . import cases
from .machine import machine, versions
from .samples import Samples


def names() -> list[str]:
    """Return the benchmarks there are: the modules of ``benchmarks/cases``."""
    return sorted(module.name for module in pkgutil.iter_modules(cases.__path__))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark that the arguments name and return the exit status."""
    known = names()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what the workbench costs."
    )
    parser.add_argument("name", metavar="NAME", choices=known, help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="few rounds: does it run, not how fast is it")
    parser.add_argument("--only", metavar="PART,...", default="", help="parts of it, where it has parts")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the object to a file too")
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        type=Path,
        help="keep finished parts here, where it has parts: a run that was cut off goes on from there",
    )
    options = parser.parse_args(arguments)

    before = machine()  # the load of the machine before we add ours
    samples = Samples()
    case = importlib.import_module(f"{cases.__name__}.{options.name}")
    asked = {**_parts(parser, case, options.only), **_kept(parser, case, options.keep)}
    case.run(samples, quick=options.quick, **asked)
    result = {"benchmark": options.name, "machine": before, "versions": versions(), **samples.summary()}
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    for fault in samples.faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if samples.faults else 0


def _parts(parser: argparse.ArgumentParser, case: ModuleType, text: str) -> dict[str, list[str]]:
    """Return what ``--only`` passes on: nothing without it."""
    asked = [part for part in text.split(",") if part]
    known = getattr(case, "PARTS", ())
    if unknown := [part for part in asked if part not in known]:
        parser.error(f"no part {', '.join(unknown)}; parts: {', '.join(known) or 'none'}")
    return {"only": asked} if asked else {}


def _kept(parser: argparse.ArgumentParser, case: ModuleType, folder: Path | None) -> dict[str, Path]:
    """Return what ``--keep`` passes on: nothing without it."""
    if folder is None:
        return {}
    if "keep" not in inspect.signature(case.run).parameters:
        parser.error("--keep: it has no parts to keep")
    return {"keep": folder}


if __name__ == "__main__":
    sys.exit(main())
