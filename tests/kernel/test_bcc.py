"""A probe of one's own: compiled for this kernel without its headers, attached, its maps read, its errors placed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import workbench
from tests.kernel.asking import as_nobody
from workbench.errors import InputError
from workbench.trace.bcc.host import BCC, numbered
from workbench.trace.bcc.probe import run_probe

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(not BCC.is_dir(), reason="python3-bpfcc is not installed"),
]

_COUNT = """
#include <linux/sched.h>
struct key_t { u32 pid; char comm[16]; };
BPF_HASH(counts, struct key_t);
BPF_HASH(offsets, u32, u64);
BPF_HISTOGRAM(dist);
TRACEPOINT_PROBE(syscalls, sys_enter_getpgid)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct key_t key = {};
    u32 zero = 0;
    u64 pid = task->tgid;
    key.pid = bpf_get_current_pid_tgid() >> 32;
    if (key.pid != TRACED)
        return 0;
    bpf_get_current_comm(&key.comm, sizeof(key.comm));
    counts.increment(key);
    offsets.update(&zero, &pid);
    dist.increment(bpf_log2l(args->pid + 1000));
    return 0;
}
"""


def test_counts_are_exact_and_structures_are_this_kernels():
    done = []

    def work(maps):
        if not done:
            for _ in range(1009):
                os.getpgid(0)
        done.append(maps)

    maps = {
        one.name: one
        for one in run_probe(_COUNT.replace("TRACED", str(os.getpid())), 1.0, every=0.2, on_maps=work)
    }
    comm = Path("/proc/self/comm").read_text().strip()
    assert maps["counts"].entries == (({"pid": os.getpid(), "comm": comm}, 1009),)
    # Headers of another kernel would have read the number at another place.
    assert maps["offsets"].entries == ((0, os.getpid()),)
    assert maps["dist"].histogram
    assert {slot: count for slot, count in maps["dist"].entries if count} == {10: 1009}
    assert len(done) > 1


def test_the_sampler_and_the_tables():
    text = (
        "BPF_HASH(ticks, u32);\nint on_sample(void *ctx) { u32 zero = 0; ticks.increment(zero); return 0; }"
    )
    result = workbench.probe(text, seconds=0.5, hz=199)
    ((key, count),) = result.details["maps"]["ticks"]
    assert key == 0
    assert count > 20
    assert "ticks" in result._repr_mimebundle_()["text/plain"]


_FUNCTIONS = """
BPF_HASH(calls, u32);
int uprobe__c__getpgid(struct pt_regs *ctx)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    if (pid == TRACED)
        calls.increment(pid);
    return 0;
}
"""


def test_functions_of_a_library_are_probed():
    done = []

    def work(maps):
        if not done:
            for _ in range(1009):
                os.getpgid(0)
        done.append(maps)

    (calls,) = run_probe(_FUNCTIONS.replace("TRACED", str(os.getpid())), 1.0, every=0.2, on_maps=work)
    assert calls.entries == ((os.getpid(), 1009),)


def test_a_function_that_is_not_there_is_said():
    text = "int uprobe__c__no_such_function(struct pt_regs *ctx) { return 0; }"
    with pytest.raises(InputError, match=r"the kernel refused the probe: .*no_such_function"):
        run_probe(text, 1.0)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("int x", 1, "expected ';'"),
        ("BPF_HASH(a);\n\nint f(void *ctx) {\n  return nope;\n}", 4, "use of undeclared identifier 'nope'"),
        (_COUNT.replace("TRACED", "nope"), 14, "use of undeclared identifier 'nope'"),
        ("#include <no/such.h>\n", 1, "file not found"),
    ],
)
def test_an_error_points_at_the_line(text, line, said):
    with pytest.raises(InputError, match=f"line {line} does not compile: .*{said}") as caught:
        run_probe(text, 1.0)
    assert caught.value.where.startswith(text.splitlines()[line - 1].strip())


def test_what_the_verifier_refuses_is_said():
    text = "RAW_TRACEPOINT_PROBE(sched_switch) { return *(int *)0; }"
    with pytest.raises(InputError, match="the kernel refused the probe"):
        run_probe(text, 1.0)


def test_no_program_and_too_much_of_it():
    with pytest.raises(InputError, match="there is no program"):
        run_probe(" \n", 1.0)
    with pytest.raises(InputError, match="more than 262,144 characters"):
        run_probe("x" * 300_000, 1.0)


def test_only_root_may():
    script = (
        "from workbench.trace.bcc.probe import run_probe\nfrom workbench.errors import NoPrivilege\n"
        "try: run_probe('int x;', 1)\nexcept NoPrivilege as error: print(error)"
    )
    assert "needs root; uid 65534 is not" in as_nobody(script, {})


def test_the_command_takes_a_file(tmp_path):
    (tmp_path / "ticks.c").write_text(
        "BPF_HASH(ticks, u32);\nint on_sample(void *ctx) { u32 zero = 0; ticks.increment(zero); return 0; }"
    )
    command = [sys.executable, "-c", "import sys; from workbench.cli import main; sys.exit(main())"]
    command += ["probe", str(tmp_path / "ticks.c"), "--seconds", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ticks" in done.stdout


def test_generated_lines_do_not_count():
    marked = numbered("a\nTRACEPOINT_PROBE(x, y)\n{\nb").splitlines()
    assert marked == ['#line 1 "cell"', "a", "TRACEPOINT_PROBE(x, y)", "{", '#line 3 "cell"', "", "b"]
    assert numbered("a").splitlines() == ['#line 1 "cell"', "a"]
