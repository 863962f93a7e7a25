"""Known workloads under the real probes: what is planted must come out, by number."""

import mmap
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.kernel.asking import NEW_PIDS
from tests.trace.workload import cpu_of, hot, spin, warm
from workbench import trace
from workbench.trace.costs import costs
from workbench.trace.exports.collapsed import collapsed

pytestmark = pytest.mark.bpf

_SYSCALLS = 1009
_PAGES = 4001


def _touch_fresh_pages(count):
    size = count * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(15)  # MADV_NOHUGEPAGE: one fault a page
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1


def test_cpu_shares_of_a_two_to_one_workload():
    with trace.session(("cpu",), hz=499, tier="bpf") as recorder:
        before = time.thread_time()
        hot(1.6)
        middle = time.thread_time()
        warm(0.8)
        after = time.thread_time()
    more, less = cpu_of(recorder.trace, "hot"), cpu_of(recorder.trace, "warm")
    truth = (middle - before) / (after - before)
    assert more / (more + less) == pytest.approx(truth, abs=0.03)
    assert recorder.trace.meta.lost == {}


def test_every_system_call_is_counted():
    with trace.session(("syscalls",), tier="bpf") as recorder:
        for _ in range(_SYSCALLS):
            os.getppid()
    calls = {(call.pid, call.name): call.latency for call in recorder.trace.calls}
    latency = calls[os.getpid(), "getppid"]
    assert latency.count == sum(latency.slots) == _SYSCALLS
    assert latency.errors == 0
    assert latency.total_ns > 0
    assert latency.percentile(0.5) <= latency.max_ns


def test_failed_system_calls_are_counted():
    with trace.session(("syscalls",), tier="bpf") as recorder:
        for _ in range(23):
            with pytest.raises(FileNotFoundError):
                os.rmdir("/no/such/folder")
    (latency,) = (call.latency for call in recorder.trace.calls if call.name == "rmdir")
    assert (latency.count, latency.errors) == (23, 23)


def test_page_faults_of_fresh_pages():
    with trace.session(("faults",), tier="bpf") as recorder:
        _touch_fresh_pages(_PAGES)
    (count,) = (row.count for row in recorder.trace.faults if row.pid == os.getpid())
    assert count == pytest.approx(_PAGES, rel=0.01, abs=60)  # starting and ending the trace faults as well
    by_line = {cost.frame.name: cost.faults for cost in costs(recorder.trace)}
    assert by_line["_touch_fresh_pages"] == pytest.approx(_PAGES, rel=0.1)


def test_run_queue_latency_under_contention():
    with trace.session(("sched",), tier="bpf") as recorder:
        spinners = [
            subprocess.Popen(
                [sys.executable, "-c", "import time; e=time.time()+1\nwhile time.time()<e: pass"]
            )
            for _ in range(2 * os.cpu_count())
        ]
        spin(0.4)
        for spinner in spinners:
            spinner.wait()
    waits = [row for row in recorder.trace.waits if row.pid == os.getpid() and row.tid == os.getpid()]
    assert len(waits) == 1
    latency = waits[0].latency
    assert waits[0].thread == threading.main_thread().name
    assert latency.count == sum(latency.slots) > 0
    assert latency.percentile(0.99) >= latency.percentile(0.5) > 0
    # Twice as many spinners as CPUs: some of them waited for a whole time slice.
    assert max(row.latency.max_ns for row in recorder.trace.waits) > 500_000


def test_a_forked_child_is_followed():
    with trace.session(("cpu", "syscalls"), hz=499, tier="bpf") as recorder:
        child = os.fork()
        if child == 0:
            for _ in range(_SYSCALLS):
                os.getppid()
            warm(0.5)
            os._exit(0)
        os.waitpid(child, 0)
    recorded = recorder.trace
    assert [call.latency.count for call in recorded.calls if (call.pid, call.name) == (child, "getppid")] == [
        1009
    ]
    stacks = [recorded.stack(sample) for sample in recorded.samples if sample.pid == child]
    assert len(stacks) > 100
    named = [stack for stack in stacks if any(frame.name == "warm" for frame in stack)]
    assert len(named) > 0.9 * len(stacks)
    assert f"process {child}" in collapsed(recorded)


def test_threads_are_told_apart():
    with trace.session(("cpu",), hz=499, tier="bpf") as recorder:
        threads = [threading.Thread(target=work, args=(0.4,)) for work in (hot, warm)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    recorded = recorder.trace
    by_thread = {}
    for sample in recorded.samples:
        names = {frame.name for frame in recorded.stack(sample)} & {"hot", "warm"}
        by_thread.setdefault(sample.tid, set()).update(names)
    assert by_thread[threads[0].native_id] == {"hot"}
    assert by_thread[threads[1].native_id] == {"warm"}


def test_native_leaf_of_a_c_call():
    libc_or_python = ("libc.so", "libpython", "python3")
    with trace.session(("cpu",), hz=499, tier="bpf") as recorder:
        end = time.thread_time() + 0.4
        while time.thread_time() < end:
            sorted(range(3000), key=float)
    natives = [
        recorder.trace.stack(sample)[-1]
        for sample in recorder.trace.samples
        if recorder.trace.stack(sample)[-1].kind == "native"
    ]
    assert natives
    named = [frame for frame in natives if frame.name != "?" and frame.file.startswith(libc_or_python)]
    assert len(named) > len(natives) / 2


def test_a_child_can_be_traced_by_its_number():
    spin = "import os,time\nfor _ in range(1009): os.getppid()\ninput()"
    child = subprocess.Popen([sys.executable, "-c", f"input()\n{spin}"], stdin=subprocess.PIPE, text=True)
    with child:
        with trace.session(("syscalls",), tier="bpf", pid=child.pid) as recorder:
            child.stdin.write("\n")
            child.stdin.flush()
            time.sleep(0.5)
        child.stdin.write("\n")
    counts = {(call.pid, call.name): call.latency.count for call in recorder.trace.calls}
    assert counts[child.pid, "getppid"] == _SYSCALLS
    assert {pid for pid, _ in counts} == {child.pid}


def test_inside_a_pid_namespace():
    script = textwrap.dedent(
        """
        import os, time
        from workbench import trace
        def planted():
            end = time.thread_time() + 0.4
            while time.thread_time() < end: sum(range(200))
        with trace.session(("cpu", "syscalls"), hz=499, tier="bpf") as recorder:
            for _ in range(1009): os.getppid()
            planted()
        seen = recorder.trace
        calls = {(c.pid, c.name): c.latency.count for c in seen.calls}
        named = [s for s in seen.samples if any(f.name == "planted" for f in seen.stack(s))]
        print(os.getpid(), calls[os.getpid(), "getppid"], len(named) > 100, {s.tid for s in named} == {os.getpid()})
        """
    )
    done = subprocess.run(
        [*NEW_PIDS, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["1", "1009", "True", "True"], done.stderr


def test_code_that_is_gone_is_not_misnamed():
    with trace.session(("cpu",), hz=499, tier="bpf") as recorder:
        for index in range(20):
            names = {"time": time}
            source = (
                f"def made_{index}():\n end=time.thread_time()+0.03\n while time.thread_time()<end: pass\n"
            )
            exec(compile(source + f"made_{index}()", "<made>", "exec"), names)
            del names
    made = {
        frame.name
        for sample in recorder.trace.samples
        for frame in recorder.trace.stack(sample)
        if frame.file == "<made>"
    }
    assert made <= {"<module>", *(f"made_{index}" for index in range(20))}
