"""Tuning records as files: which processor they were measured on, how long, and how the best run time fell."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Self

from ...atomic import write_bytes
from ...errors import CompileError, CorruptArtifact
from ...kernels.features import cpu_features
from .package import missing

FACTS_FILE = "tuning.json"
RECORDS = ("tuning.workloads.jsonl", "tuning.records.jsonl")
"""The functions, and the schedules measured for them: TVM's own JSON, a line each."""
_LARGEST = 64 << 20  # bytes of a shared file


@dataclass
class Facts:
    """What records are good for.

    Attributes
    ----------
    cpu : str
        The processor they were measured on: its name and what decides which code it runs.
    target, tvm : str
        Our name of the target, and TVM's version.
    seconds : float
        Wall-clock seconds of tuning, over all runs.
    trials, crashes : int
        Schedules tried, but for those of batches that crashed; batches that ended the process that measured them.
    curve : list
        ``(seconds, milliseconds)`` after each batch: what a run's functions add up to, once each was measured.
    tried : dict
        Batches begun by function: what a run that is resumed does not begin again.
    """

    cpu: str
    target: str
    tvm: str
    seconds: float = 0.0
    trials: int = 0
    crashes: int = 0
    curve: list[list[float]] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)

    @classmethod
    def here(cls, target: str) -> Self:
        """Return the facts of records that begin on this machine."""
        return cls(processor(), target, version("apache-tvm"))


def processor() -> str:
    """Return this processor's name and the vector instructions it has."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unnamed"
    )
    vectors = sorted(one for one in cpu_features() if one.startswith(("avx", "amx", "asimd", "sve", "v")))
    return f"{name} [{' '.join(vectors)}]"


def read_facts(folder: Path) -> Facts:
    """Return the facts of a folder's records.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    """
    path = folder / FACTS_FILE
    try:
        found = Facts(**json.loads(path.read_bytes()))
        found.curve = [[float(x), float(y)] for x, y in found.curve]
        assert all(isinstance(each, str) for each in (found.cpu, found.target, found.tvm))
    except (OSError, ValueError, TypeError, AssertionError) as error:
        raise CorruptArtifact(
            f"the tuning records cannot be read: {error}", where=str(path), fix="tune again: --tune 60s"
        ) from error
    return found


def write_facts(folder: Path, facts: Facts) -> None:
    """Write the facts of a folder's records."""
    write_bytes(folder / FACTS_FILE, json.dumps(asdict(facts)).encode())


def repair(folder: Path) -> None:
    """Drop a last line that a killed run did not finish; the lines before it are whole."""
    for name in RECORDS:
        path = folder / name
        data = path.read_bytes() if path.is_file() else b""
        if not data.endswith(b"\n"):
            write_bytes(path, data[: data.rfind(b"\n") + 1])


def copy(source: Path, out: Path) -> None:
    """Copy the records of a folder into another, the facts last: they say that the others are there."""
    for name in (*RECORDS, FACTS_FILE):
        write_bytes(out / name, (source / name).read_bytes())


def check(facts: Facts, target: str, where: str) -> None:
    """Refuse records that do not serve here.

    Raises
    ------
    CompileError
        If they were measured on another processor, for another target or by another TVM; names both.
    MissingDependency
        If TVM is not installed.
    """
    if lacking := missing():
        raise lacking
    here = Facts.here(target)
    for what, theirs, ours in (
        ("on another processor", facts.cpu, here.cpu),
        ("for another target", facts.target, here.target),
        ("by another TVM", facts.tvm, here.tvm),
    ):
        if theirs != ours:
            raise CompileError(
                f"these tuning records were measured {what}: {theirs}; here it is {ours}",
                where=where,
                fix="leave out --records and tune here: --tune 60s",
                theirs=theirs,
                ours=ours,
            )


def join(folder: Path) -> bytes:
    """Return a folder of records as one file to share: a line of facts, then TVM's lines."""
    parts = [(folder / name).read_text().splitlines() for name in RECORDS]
    head = {"mlops_tuning": 1, **asdict(read_facts(folder)), "workloads": len(parts[0])}
    return ("\n".join([json.dumps(head), *parts[0], *parts[1]]) + "\n").encode()


def split(file: Path, out: Path) -> Facts:
    """Write a shared file as a folder of records.

    Raises
    ------
    CorruptArtifact
        If it is no such file, or larger than 64 MiB.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("it is larger than 64 MiB")
        head, *lines = file.read_text().splitlines()
        facts = dict(json.loads(head))
        if facts.pop("mlops_tuning", None) != 1:
            raise ValueError("its first line does not say what it is")
        count = int(facts.pop("workloads"))
        parsed = [json.loads(line) for line in lines]
        if any(not isinstance(line, list) for line in parsed) or not 0 <= count <= len(parsed):
            raise ValueError("its lines are not records")
        if any(not 0 <= int(line[0]) < count for line in parsed[count:]):
            raise ValueError("a record is of a function that it does not hold")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CorruptArtifact(
            f"this is no file of tuning records: {error}",
            where=str(file),
            fix="%mlops export NAME/tuning FILE",
        ) from error
    for name, part in zip(RECORDS, (lines[:count], lines[count:]), strict=True):
        write_bytes(out / name, "".join(f"{line}\n" for line in part).encode())
    write_bytes(out / FACTS_FILE, json.dumps(facts).encode())
    return read_facts(out)
