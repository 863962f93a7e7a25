"""The process that holds bcc: ``python -m workbench.trace.bcc.host``, root, one program, one window of time.

It reads one JSON line (text, sampling, interval) and writes JSON lines: ``attached``, then ``maps`` every
interval, or ``error``. It ends when its input ends; what it attached ends with it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import select
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

BCC = Path("/usr/lib/python3/dist-packages/bcc")
_NEW_MOUNTS = 0x00020000
_PRIVATE = (1 << 18) | (1 << 14)
_MAX_ENTRIES = 1000
_PROBE = re.compile(r"TRACEPOINT_PROBE\s*\([^)]*\)\s*\{")
_SAMPLER = "on_sample"
_FUNCTION = re.compile(r"\b(u(?:ret)?probe)__(\w+?)__(\w+)\s*\(")
CELL = "cell"
"""What complaints call the text."""


def load_bcc(folder: Path = BCC) -> Any:
    """Return the system's bcc package, and only it: its neighbours would shadow ours (numpy, yaml)."""
    if not (folder / "__init__.py").is_file():
        raise FileNotFoundError(str(folder))
    spec = importlib.util.spec_from_file_location(
        "bcc", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise FileNotFoundError(str(folder))
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in its sources, on newer Pythons
        spec.loader.exec_module(module)
    return module


def numbered(text: str) -> str:
    r"""Return the text with its own line numbers: bcc puts generated lines before it and before its probes.

    Examples
    --------
    >>> numbered("\nTRACEPOINT_PROBE(a, b) {\n").splitlines()
    ['#line 1 "cell"', '', 'TRACEPOINT_PROBE(a, b) {', '#line 2 "cell"', '']
    """

    def mark(found: re.Match[str]) -> str:
        return f'{found[0]}\n#line {text.count(chr(10), 0, found.end()) + 1} "{CELL}"\n'

    return f'#line 1 "{CELL}"\n{_PROBE.sub(mark, text)}'


def main() -> int:
    """Serve one probe."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # bcc prints; our output is a protocol

    def say(**body: object) -> None:
        out.write(json.dumps(body) + "\n")
        out.flush()

    request = json.loads(sys.stdin.readline())
    try:
        bcc = load_bcc()
    except (OSError, ImportError) as error:
        say(event="error", kind="missing", text=str(error))
        return 1
    _mount_tracefs()
    program, said = _compile(bcc, request["text"])
    if program is None:
        say(event="error", kind="compile", text=said)
        return 1
    try:
        _attach_sampler(bcc, program, request)
        _attach_functions(program, request["text"])
    except Exception as error:  # noqa: BLE001 - bcc raises plain Exceptions; the notebook shows the text
        say(event="error", kind="attach", text=str(error))
        return 1
    say(event="attached", warnings=said)
    _report(bcc, program, request, say)
    return 0


def _mount_tracefs() -> None:
    """Give bcc a tracefs, in a mount namespace of our own where the machine has none."""
    place = "/sys/kernel/tracing"
    if Path(place, "events").is_dir():
        return
    libc = ctypes.CDLL(None)
    if libc.unshare(_NEW_MOUNTS) == 0:
        libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None)
        libc.mount(b"none", place.encode(), b"tracefs", ctypes.c_ulong(0), None)


def _compile(bcc: Any, text: str) -> tuple[Any, str]:
    """Return the loaded program, or None, and what clang or the kernel said about it."""
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        program = None
        raised = ""
        try:
            program = bcc.BPF(text=numbered(text), cflags=["-Wno-everything"])
        except Exception as error:  # noqa: BLE001 - as above
            raised = str(error)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        caught.seek(0)
        return program, (caught.read().decode(errors="replace") + raised)[-20_000:]


def _attach_sampler(bcc: Any, program: Any, request: dict[str, Any]) -> None:
    """Attach ``on_sample``, where the text has one, to the CPU clock; bcc attached the rest by its macros."""
    if f"{_SAMPLER}(" in request["text"].replace(" (", "("):
        program.attach_perf_event(
            ev_type=bcc.PerfType.SOFTWARE,
            ev_config=bcc.PerfSWConfig.CPU_CLOCK,
            fn_name=_SAMPLER,
            sample_freq=request["hz"],
        )


def _attach_functions(program: Any, text: str) -> None:
    """Attach each ``uprobe__LIBRARY__FUNCTION`` and ``uretprobe__LIBRARY__FUNCTION`` of the text."""
    for kind, library, function in dict.fromkeys(_FUNCTION.findall(text)):
        attach = program.attach_uprobe if kind == "uprobe" else program.attach_uretprobe
        attach(name=library, sym=function, fn_name=f"{kind}__{library}__{function}")


def _report(bcc: Any, program: Any, request: dict[str, Any], say: Any) -> None:
    end = time.monotonic() + request["seconds"]
    while (left := end - time.monotonic()) > 0:
        heard, _, _ = select.select([sys.stdin], [], [], min(left, request["every"]))
        if heard:
            break
        say(event="maps", maps=_maps(bcc, program))
    say(event="end", maps=_maps(bcc, program))


def _maps(bcc: Any, program: Any) -> list[dict[str, Any]]:
    # bcc's own package does not declare these two, and ctypes would cut the pointer to 32 bits.
    bcc.lib.bpf_num_tables.restype, bcc.lib.bpf_num_tables.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
    bcc.lib.bpf_table_name.restype = ctypes.c_char_p
    bcc.lib.bpf_table_name.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    count = bcc.lib.bpf_num_tables(program.module)
    names = [bcc.lib.bpf_table_name(program.module, index).decode() for index in range(count)]
    maps = []
    for name in names:
        table = program[name]
        try:
            entries = [[_plain(key), _plain(value)] for key, value in table.items()[:_MAX_ENTRIES]]
        except Exception:  # noqa: BLE001, S112 - stack traces and perf buffers have no entries to list
            continue
        maps.append({"name": name, "kind": type(table).__name__, "entries": entries})
    return maps


def _plain(value: Any) -> Any:
    """Return a ctypes value as JSON-able data: structures as objects, character arrays as text."""
    if isinstance(value, ctypes.Structure):
        return {field[0]: _plain(getattr(value, field[0])) for field in value._fields_}
    if isinstance(value, bytes):
        return value.partition(b"\0")[0].decode(errors="replace")
    if isinstance(value, list):  # per-CPU maps: one value a CPU
        plain = [_plain(item) for item in value]
        return sum(plain) if all(isinstance(item, int) for item in plain) else plain
    if isinstance(value, ctypes.Array):
        return [_plain(item) for item in value]
    return getattr(value, "value", value)


if __name__ == "__main__":
    raise SystemExit(main())
