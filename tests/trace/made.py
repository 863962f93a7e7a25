"""A trace with something of every kind, made by hand, for tests of reports and exports."""

from workbench.trace.latency import SLOTS, Latency
from workbench.trace.model import Trace, TraceMeta
from workbench.trace.rows import (
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    RunDelay,
    Sample,
    SystemCall,
    ThreadWaits,
)

MS = 1_000_000
MIB = 1 << 20
LAUNCH = Frame("python", "run_cell", "/x/site-packages/IPython/shell.py", 9)
SLOW = Frame("python", "<module>", "In[3]", 2, 3, "y = model(x) # <b> & 'c'")
KEEP = Frame("python", "keep", "In[3]", 4, 3, "kept.append(torch.empty(size))")
LOCK = Frame("python", "worker", "In[3]", 7, 3, "with lock:")
HOLD = Frame("python", "holder", "In[3]", 9, 3, "time.sleep(0.05)")
LIBRARY = Frame("python", "forward", "/x/site-packages/torch/nn.py", 7)
KERNEL = Frame("native", "sgemm<float>", "libmkl.so")
FUTEX = Frame("native", "futex_wait", "libc.so.6")
IDLE = Frame("python", "_poll", "/x/site-packages/zmq/poll.py", 3)
FRAMES = (LAUNCH, SLOW, KEEP, LOCK, HOLD, LIBRARY, KERNEL, FUTEX, IDLE)
STACKS = ((0, 1, 5, 6), (0, 2), (0, 3, 7), (0, 4), (6,), (8, 7))
LATENCY = Latency(4, 1, 4000, 1500, (0,) * 9 + (3, 1) + (0,) * (SLOTS - 11))
PROBES = ("cpu", "sched", "faults", "syscalls", "offcpu", "alloc", "operators", "audit")


def full(**changes):
    """Return one second at 100 Hz: 60 samples in SLOW, 30 in KEEP, 10 in a child without Python."""
    meta = TraceMeta(
        "bpf", (), PROBES, 100, 1.0, 7, {}, (), {"7": "python", "8": "sh <child>"}, {"cpus": "2"}
    )
    parts = {
        "meta": meta,
        "frames": FRAMES,
        "stacks": STACKS,
        "samples": (
            *(Sample("cpu", n * 10 * MS, 7, 7, 0.01, 0) for n in range(60)),
            *(Sample("fault", n * 10 * MS, 7, 7, 16.0, 1) for n in range(60, 70)),
            *(Sample("cpu", n * 10 * MS, 7, 7, 0.01, 1) for n in range(60, 90)),
            *(Sample("cpu", n * 10 * MS, 8, 8, 0.01, 4) for n in range(90, 100)),
        ),
        "waits": (ThreadWaits(7, 7, "main", LATENCY), ThreadWaits(7, 9, "worker", LATENCY)),
        "delays": tuple(RunDelay(at * 100 * MS, 7, 9, 20 * MS) for at in range(10)),
        "calls": (SystemCall(7, "read", LATENCY), SystemCall(8, "read", LATENCY)),
        "faults": (FaultCount(7, 163),),
        "offcpu": (
            OffCpu(0, 7, 11, 900 * MS, 5),
            OffCpu(100 * MS, 7, 9, 50 * MS, 2, 7, 10, "holder", 3),
            OffCpu(200 * MS, 7, 9, 60 * MS, 2, 7, 10, "holder", 3),
            OffCpu(300 * MS, 7, 10, 50 * MS, 3),
        ),
        "allocations": (
            Allocation("c10", 7, 1, 10 * MIB, 10, 12 * MIB, 12),
            Allocation("c10", 7, 0, 0, 0, 500 * MIB, 50),
        ),
        "operators": (
            Operator("torch", 7, "aten::addmm", LATENCY),
            Operator("torch", 7, "aten::relu", LATENCY),
        ),
        "cuda": (Operator("cuda", 7, "cuMemAlloc_v2", Latency(20, 0, 0, 0, (0,) * SLOTS), 20 * MIB),),
        "events": tuple(
            OperatorEvent("torch", name, at * MS, 6 * MS, 7, 7, 0, 0)
            for at in range(0, 600, 20)
            for name in ("aten::addmm", "aten::relu")[at // 20 % 2 :][:1]
        ),
        "audit": (
            AuditEvent(5 * MS, 7, 7, 1, "open", "/etc/hostname", 0, 0, 0, "allowed", "path /etc"),
            AuditEvent(6 * MS, 7, 7, 1, "open", "/etc/hostname", 0, 0, 0, "allowed", "path /etc"),
            AuditEvent(700 * MS, 7, 7, 1, "connect", "192.0.2.7:443", 0, 1, 1, "denied", "no host <rule>"),
        ),
    }
    return Trace(**{**parts, **changes})
