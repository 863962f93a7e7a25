"""What is too much or too broken: counted, said, and never more than that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import trace
from workbench.errors import TraceError
from workbench.trace.functions import find_functions
from workbench.trace.symbols.interpreter import find_interpreter
from workbench.trace.symbols.native import NativeMap

pytestmark = pytest.mark.bpf

_LINES = 20_000


def _failing_open():
    try:
        os.open("/nor/this", os.O_RDONLY)
    except OSError:
        return


def test_more_distinct_stacks_than_fit_are_counted():
    body = compile("f()\n" * _LINES, "<many>", "exec")  # each line is another stack
    with trace.session(("audit",), tier="bpf") as recorder:
        exec(body, {"f": _failing_open})
    recorded = recorder.trace
    rows = [row for row in recorded.audit if row.target == "/nor/this"]
    lost = recorded.meta.lost
    assert lost.get("stacks (too many distinct ones)", 0) + lost.get("records (ring buffer full)", 0) > 0
    assert len(rows) + lost.get("records (ring buffer full)", 0) >= _LINES
    with_stack = sum(row.stack >= 0 for row in rows)
    assert 0 < with_stack <= 16_384
    assert len(recorded.stacks) <= 16_500


def test_a_deleted_library_is_left_out_and_said(tmp_path):
    library = tmp_path / "libcuda.so.1"
    source = Path(__file__).parent / "native" / "standin.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    script = (
        f"import ctypes, sys; ctypes.CDLL({str(library)!r}); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "ready\n"
        library.unlink()
        found = find_functions(("cuda",), other.pid)
        found.close()
        other.stdin.close()
    assert found.sites == []
    assert any("libcuda.so.1" in note and "cannot be probed" in note for note in found.notes)
    assert any("no CUDA library is loaded" in note for note in found.absent(("cuda",)))


def test_a_stripped_library_has_frames_without_names(tmp_path):
    source = tmp_path / "busy.c"
    source.write_text(
        "static int inner(int n) { volatile int s = 0; for (int i = 0; i < n; i++) s += i; return s; }\n"
        "int busy(int n) { return inner(n); }\n"
    )
    library = tmp_path / "libbusy.so"
    subprocess.run(["cc", "-O1", "-s", "-shared", "-fPIC", "-o", library, source], check=True)
    if shutil.which("strip"):
        subprocess.run(["strip", library], check=True)
    script = (
        f"import ctypes\nfrom workbench import trace\nbusy = ctypes.CDLL({str(library)!r}).busy\n"
        "with trace.session(('cpu',), hz=999, tier='bpf') as r:\n for _ in range(200): busy(1_000_000)\n"
        "print({f.name for f in r.trace.frames if f.file == 'libbusy.so'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("{'busy'}", "{'?'}", "{'busy', '?'}", "{'?', 'busy'}")


def test_a_process_that_is_gone_has_no_maps_and_no_interpreter():
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert find_interpreter(gone.pid)[0] is None
    with pytest.raises(OSError, match=str(gone.pid)):
        NativeMap(gone.pid)


def test_a_kernel_without_type_information_is_said(tmp_path):
    """With /sys hidden, as in a locked-down container, the next tier runs and the reason is given."""
    script = (
        "from workbench import trace\nwith trace.session() as r: sum(range(10**6))\n"
        "print(r.trace.meta.tier, '|', *r.trace.meta.reasons)"
    )
    # Private before anything is mounted: the machine's own /sys stays as it is.
    hide = "mount --make-rprivate /sys && mount -t tmpfs none /sys/kernel/btf"
    run = f'{hide} && exec {sys.executable} -c "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", run],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SCRIPT": script},
    )
    assert done.returncode == 0, done.stderr
    tier, reason = done.stdout.strip().split(" | ")
    assert tier == "perf"
    assert "bpf: this kernel carries no type information (BTF)" in reason


def test_a_traced_process_that_is_killed_at_once():
    with subprocess.Popen(
        [sys.executable, "-c", "print('ready', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "ready\n"
        try:
            with trace.session(("cpu", "alloc", "offcpu"), tier="bpf", pid=other.pid) as recorder:
                other.kill()
                other.wait()
        except TraceError as error:  # gone before it was adopted
            assert "gone" in error.what  # noqa: PT017
        else:
            assert recorder.trace.meta.pid == other.pid


_INTERPRETER = """
#include <unistd.h>
unsigned long _PyRuntime = 1;
const unsigned long Py_Version = VERSION;
int main(void) { write(1, "ready\\n", 6); pause(); return 0; }
"""


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("python3.14", "0x030e00f0", "CPython 3.14 are not supported yet"),
        ("python3.13t", "0x030d00f0", "CPython 3.13t are not supported yet"),
    ],
)
def test_an_interpreter_of_a_later_kind_is_said(tmp_path, name, version, said):
    """As 3.14 and free-threaded builds are: the same symbols, frames of another shape."""
    source, program = tmp_path / "interpreter.c", tmp_path / name
    source.write_text(_INTERPRETER.replace("VERSION", version))
    subprocess.run(["cc", "-rdynamic", "-o", program, source], check=True)
    with subprocess.Popen([program], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"ready\n"
            found, why = find_interpreter(other.pid)
            with trace.session(("cpu",), tier="bpf", pid=other.pid) as recorder:
                pass
        finally:
            other.kill()
    assert found is None
    assert said in why
    assert any(said in note for note in recorder.trace.meta.notes)


_LOCKED = """
import ctypes, platform, struct
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
# load the call's number; is it bpf? then EPERM, else allow
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *rule) for rule in rules))
program = struct.pack("<HxxxxxxQ", len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
from workbench import trace
with trace.session() as r: sum(range(10**6))
print(r.trace.meta.tier, "|", *r.trace.meta.reasons)
"""


def test_a_kernel_that_is_locked_down_is_said():
    """Lockdown refuses bpf() with EPERM, whatever capabilities one has; a seccomp filter does the same here."""
    done = subprocess.run(
        [sys.executable, "-c", _LOCKED],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MLOPS_COLLECTOR": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    tier, reason = done.stdout.strip().split(" | ")
    assert tier == "perf"
    assert "bpf: the kernel refused to" in reason
