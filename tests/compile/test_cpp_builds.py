"""The compiler runs of inductor: what is begun early, what waits for what, and what an error does."""

import threading

import pytest
import torch
from torch._inductor import cpp_builder

from workbench.compile.cpp_builds import builds_side_by_side, settings_for


def test_the_wrapper_is_compiled_beside_the_kernels_and_linked_when_both_are_there(monkeypatch):
    kernels, order = threading.Event(), []

    def run(command, cwd):
        if not cwd.startswith("/x"):
            return  # torch asks meanwhile what the compiler can do, where nobody has asked on this machine
        if command.endswith("wrapper.o"):
            assert kernels.wait(30), "the kernels never began"
        order.append((command, cwd))
        if command.endswith("kernel.o"):
            kernels.set()

    monkeypatch.setattr(cpp_builder, "run_compile_cmd", run)
    with builds_side_by_side():
        assert torch.fx.config.do_not_emit_stack_traces
        cpp_builder.run_compile_cmd("g++ -c -o /x/a.wrapper.o", "/x/a_tmp")
        cpp_builder.run_compile_cmd("g++ -c -o /x/b.kernel.o", "/x/b_tmp")
        cpp_builder.run_compile_cmd("g++ -o /x/a.wrapper.so -lgomp", "/x/a_tmp")
    assert [cwd for _, cwd in order] == ["/x/b_tmp", "/x", "/x/a_tmp"]
    assert cpp_builder.run_compile_cmd is run
    assert not torch.fx.config.do_not_emit_stack_traces


def test_a_wrapper_that_does_not_compile_is_not_linked(monkeypatch):
    def run(command, cwd):
        assert "wrapper.so" not in command
        raise RuntimeError("no such header")

    monkeypatch.setattr(cpp_builder, "run_compile_cmd", run)
    with pytest.raises(RuntimeError, match="no such header"), builds_side_by_side():
        cpp_builder.run_compile_cmd("g++ -c -o /x/a.wrapper.o", "/x/a_tmp")
        cpp_builder.run_compile_cmd("g++ -o /x/a.wrapper.so -lgomp", "/x/a_tmp")
    assert cpp_builder.run_compile_cmd is run


def test_only_where_a_call_takes_long_the_wrapper_is_not_optimized():
    key = "aot_inductor.compile_wrapper_opt_level"
    assert (settings_for(3_000)[key], settings_for(20_000_000)[key]) == ("O1", "O0")
