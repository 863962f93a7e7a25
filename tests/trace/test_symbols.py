import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.trace.symbols.cells import cell_number, keep_code, source_line
from workbench.trace.symbols.elf import Elf, demangle
from workbench.trace.symbols.interpreter import find_interpreter
from workbench.trace.symbols.native import NativeMap
from workbench.trace.symbols.python import CodeReader, Memory, decode_lines

_FOUND, _WHY = find_interpreter(os.getpid())
_LAYOUT = _FOUND.layout if _FOUND else None
_linux = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
_known = pytest.mark.skipif(_LAYOUT is None, reason=_WHY)


def _sample_function(x):
    total = 0
    for n in range(x):
        if n % 2:
            total += n
        else:
            total -= [
                n,
                n + 1,
            ][0]
    return total


def _größe():
    return lambda: "名前"


@pytest.fixture
def reader():
    memory = Memory(os.getpid())
    yield CodeReader(memory, _LAYOUT.code)
    memory.close()


@_linux
@_known
@pytest.mark.parametrize(
    "code",
    [
        _sample_function.__code__,
        _größe.__code__,
        _größe().__code__,
        os.path.join.__code__,
        Path.glob.__code__,
    ],
)
def test_a_code_object_is_read_as_python_sees_it(reader, code):
    found = reader.read(id(code))
    assert (found.name, found.file, found.first_line) == (
        code.co_qualname,
        code.co_filename,
        code.co_firstlineno,
    )
    for unit, (line, *_) in enumerate(code.co_positions()):
        assert found.line(2 * unit) == (line or code.co_firstlineno)


@_linux
@_known
def test_what_is_no_code_object_is_refused(reader):
    for thing in ("text", 5, object(), [1], {}):
        assert reader.read(id(thing)) is None
    for address in (0, 8, 2**47 + 16, 2**63, id(_sample_function.__code__) + 8):
        assert reader.read(address) is None


@given(st.lists(st.sampled_from(["a=1", "", "b=(1,\n2)", "def f():\n  return 1", "if a: b=2"]), max_size=40))
def test_lines_are_those_of_the_interpreter(parts):
    code = compile("\n".join(parts), "x", "exec")
    starts, lines = decode_lines(code.co_linetable, code.co_firstlineno)
    expected = [line or 0 for line, *_ in code.co_positions()]
    ends = [*starts[1:], 2 * len(expected)]
    spread = [
        line for start, end, line in zip(starts, ends, lines, strict=True) for _ in range(start, end, 2)
    ]
    assert spread == expected


@_linux
def test_a_native_function_is_found_by_its_address():
    address = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value
    native = NativeMap(os.getpid())
    frame = native.frame(address)
    assert (frame.kind, "getppid" in frame.name) == ("native", True)
    assert frame.file.startswith("libc")
    assert native.library(address).endswith(frame.file)
    assert native.frame(16).file == "[unmapped]"
    assert native.library(16) is None


@_linux
def test_another_process_is_read_too():
    script = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()  # before that, exec may have closed its files but not yet mapped the program
        native = NativeMap(child.pid)
        child.stdin.close()
    assert any(path.startswith("/") for _, _, path in native._ranges)
    with pytest.raises(OSError, match=r"No such|Invalid"):
        NativeMap(2**22 + 1)


def test_names_as_written():
    assert demangle("_ZN2at4_ops3add4callERKNS_6TensorES4_") == "at::_ops::add::call"
    assert demangle("_ZN12_GLOBAL__N_13runEv") == "(anonymous namespace)::run"
    assert demangle("_Znot_a_name") == "_Znot_a_name"
    assert demangle("memcpy") == "memcpy"


def test_a_file_that_is_no_library(tmp_path):
    for content in (b"text, not a library", b"\x7fELF\x02\x01 cut short"):
        (tmp_path / "lib.so").write_bytes(content)
        with pytest.raises(ValueError, match=r"is not a 64-bit ELF file|is cut short"):
            Elf(tmp_path / "lib.so")


def test_cells_outside_ipython():
    assert cell_number("<ipython-input-12-0abc>") == 12
    assert cell_number(__file__) == 0
    assert source_line(__file__, 1) == "import ctypes"
    assert source_line("/no/such/file.py", 3) == ""
    with keep_code():
        pass


@_linux
@_known
def test_the_runtime_is_where_it_is_however_often_one_looks():
    truth = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    assert {find_interpreter(os.getpid())[0].runtime for _ in range(3)} == {truth}
