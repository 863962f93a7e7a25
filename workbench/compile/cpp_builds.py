"""What inductor's C++ compiler is asked for, and when: most of a compilation is headers, so they are read once.

Left alone, inductor compiles six programs to learn what the processor and the compiler can do, precompiles two headers
that a single program does not pay for, and builds wrapper and kernels one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_PLAIN_FROM = 4_000_000
"""Weights from which a call takes milliseconds: 0.5 us an operator for a wrapper that is not optimized do not count."""

SETTINGS: dict[str, object] = {
    "cpp.vec_isa_ok": True,  # what the kernel says the processor has, any compiler that torch's headers need can do
    "cpp.enable_kernel_profile": True,  # %mlops operators; costs some 0.3 us a kernel
    "size_asserts": False,  # on shapes inductor derived itself; sizes of inputs are checked before a call
    "aot_inductor.precompile_headers": False,
    "aot_inductor.enable_line_tables": False,
}
"""Settings of inductor for every program."""


def settings_for(weights: int) -> dict[str, object]:
    """Return the settings for a program with so many numbers in its weights."""
    level = "O0" if weights >= _PLAIN_FROM else "O1"
    return {**SETTINGS, "aot_inductor.compile_wrapper_opt_level": level}


@contextlib.contextmanager
def builds_side_by_side() -> Iterator[None]:
    """Find out about the compiler while the program is lowered; compile the wrapper while the kernels are.

    Raises
    ------
    torch._inductor.exc.CppCompileError
        From the step that links, if the wrapper did not compile.
    """
    import torch.fx
    from torch._inductor import cpp_builder

    run, traces = cpp_builder.run_compile_cmd, torch.fx.config.do_not_emit_stack_traces
    wrappers: list[Future[None]] = []

    def run_or_begin(cmd_line: str, cwd: str) -> None:
        if cmd_line.endswith(".wrapper.o"):
            # not in cwd: inductor removes it as soon as this returns
            wrappers.append(pool.submit(run, cmd_line, str(Path(cwd).parent)))
            return
        if ".wrapper.so" in cmd_line:
            for one in wrappers:
                one.result()
        run(cmd_line, cwd)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(_ask_compiler)
        cpp_builder.run_compile_cmd = run_or_begin
        torch.fx.config.do_not_emit_stack_traces = True  # of lines of torch's own
        try:
            yield
        finally:
            cpp_builder.run_compile_cmd, torch.fx.config.do_not_emit_stack_traces = run, traces


def _ask_compiler() -> None:
    """Let torch find the instruction sets it may use; it keeps the answer for this process."""
    from torch._inductor import config, cpu_vec_isa

    with config.patch({"cpp.vec_isa_ok": True}):
        cpu_vec_isa.valid_vec_isa_list()
