"""Machine code of a shared object as instructions, and the loops in it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import CompileError, MissingDependency
from ...kernels import Target

_HEAD = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(.*)$")
_JUMP = re.compile(  # conditional ones: the others lead back from where the compiler put what happens rarely
    r"^(?:j(?!mp)\w+|loop\w*|b\.\w+|cbn?z|tbn?z|b(?:eq|ne|lt|ge|le|gt)\w*)\b.*?\b(?:0x)?([0-9a-f]+)(?: <|$)"
)
_SYMBOL = re.compile(r"<([A-Za-z_][\w.]*)(?:@\w+)?(?:\+0x[0-9a-f]+)?>")
_ADRP = re.compile(r"^adrp\s+(x\d+), ([0-9a-f]+)")  # Arm: an address in two instructions,
_ADD = re.compile(r"^add\s+x\d+, (x\d+), #0x([0-9a-f]+)")
_AUIPC = re.compile(r"^auipc (\w+), (\d+)")  # and RISC-V, relative to the first
_REST = re.compile(r"^(?:jalr (-?\d+)\((\w+)\)|addi \w+, (\w+), (-?\d+))")

INTEGER = re.compile(r"^(?:vpdpbusds?|vpmaddubsw|sdot|usdot|[us]{1,2}mmla|smlal2?|vwmacc\w*|vwmul\w*)\b")
"""Instructions that multiply integers and add: what the kernel of a packed layer is there to do."""

FLOAT = re.compile(r"^(?:vfn?m(?:add|sub)\w*|fmla|fn?madd(?:\.\w)?|vfmacc\w*|vmulp[sd]|fmul(?:\.\w)?)\b")
"""The same of floats."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: where it lies, and its text."""

    address: int
    text: str


@dataclass(frozen=True)
class Routine:
    """One function's instructions, and the functions it refers to."""

    name: str
    instructions: tuple[Instruction, ...]
    mentions: frozenset[str]


@dataclass(frozen=True)
class Loop:
    """An innermost loop: the positions of its first and last instruction, and how many of them multiply."""

    routine: Routine
    first: int
    last: int
    multiplies: int

    @property
    def body(self) -> tuple[Instruction, ...]:
        """Its instructions."""
        return self.routine.instructions[self.first : self.last + 1]


def disassemble(path: Path, target: Target) -> dict[str, Routine]:
    """Return the functions of a shared object by name.

    Raises
    ------
    MissingDependency
        If the disassembler of the target is not installed.
    CompileError
        If it cannot read the file.
    """
    command = [*_objdump(target), "-d", "--no-show-raw-insn", "-j", ".text", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise CompileError(f"{command[0]} failed: {done.stderr.strip()[-500:]}", where=str(path))
    blocks = list(_blocks(done.stdout))
    starts = {instructions[0].address: name for name, instructions in blocks if instructions}
    return {name: Routine(name, tuple(found), _mentions(found, starts)) for name, found in blocks}


def _objdump(target: Target) -> list[str]:
    """Return the disassembler; binutils do not know the vector instructions of RISC-V that clang writes."""
    machine = target.machine or platform.machine()
    if machine == "riscv64":
        command, package = ["llvm-objdump", "--mattr=+m,+a,+f,+d,+c,+v"], "llvm"
    elif machine == platform.machine():
        command, package = ["objdump"], "binutils"
    else:
        command, package = [f"{machine}-linux-gnu-objdump"], f"binutils-{machine}-linux-gnu"
    if shutil.which(command[0]) is None:
        raise MissingDependency(
            f"{command[0]} is not installed", where=target.name, fix=f"apt-get install {package}"
        )
    return command


def _blocks(text: str) -> Iterator[tuple[str, list[Instruction]]]:
    name, found = "", list[Instruction]()
    for line in text.splitlines():
        if head := _HEAD.match(line):
            if name:
                yield name, found
            name, found = head[2], []
        elif name and (parts := _LINE.match(line)):
            found.append(Instruction(int(parts[1], 16), " ".join(parts[2].split())))
    if name:
        yield name, found


def _mentions(instructions: list[Instruction], starts: dict[int, str]) -> frozenset[str]:
    """Return the functions an instruction calls or takes the address of."""
    found, pages = set[str](), dict[str, int]()
    for instruction in instructions:
        text = instruction.text
        found.update(_SYMBOL.findall(text))
        if page := _ADRP.match(text):
            pages[page[1]] = int(page[2], 16)
        elif page := _AUIPC.match(text):
            upper = int(page[2])
            pages[page[1]] = instruction.address + ((upper - (upper >> 19 << 20)) << 12)
        elif rest := _ADD.match(text):
            found.add(starts.get(pages.get(rest[1], 0) + int(rest[2], 16), ""))
        elif rest := _REST.match(text):
            found.add(starts.get(pages.get(rest[2] or rest[3], 0) + int(rest[1] or rest[4]), ""))
    return frozenset(found & set(starts.values()))


def loops(routine: Routine, multiply: Sequence[re.Pattern[str]]) -> list[Loop]:
    """Return the innermost loops: jumps back inside the function that enclose no other such jump."""
    code = routine.instructions
    places = {instruction.address: at for at, instruction in enumerate(code)}
    spans = []
    for at, instruction in enumerate(code):
        jump = _JUMP.match(instruction.text)
        to = places.get(int(jump[1], 16), at + 1) if jump else at + 1
        if to <= at:
            spans.append((to, at))
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [
        Loop(
            routine,
            first,
            last,
            sum(1 for each in code[first : last + 1] if any(m.match(each.text) for m in multiply)),
        )
        for first, last in inner
    ]
