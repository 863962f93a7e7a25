"""The command line: run one benchmark, print one JSON object. Progress goes to the error stream."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

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
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the object to a file too")
    options = parser.parse_args(arguments)

    before = machine()  # the load of the machine before we add ours
    samples = Samples()
    importlib.import_module(f"{cases.__name__}.{options.name}").run(samples, quick=options.quick)
    result = {"benchmark": options.name, "machine": before, "versions": versions(), **samples.summary()}
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
