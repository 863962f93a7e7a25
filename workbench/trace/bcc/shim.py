"""Headers for bcc from the running kernel's BTF: no kernel headers, and never those of another kernel.

bcc includes a handful of kernel headers by name. All types come from one dump of the BTF, which
``linux/kconfig.h`` (what bcc includes first) includes; the others are empty. Headers of another version would
compile as well, and read every structure at wrong offsets.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...config import cache
from ...errors import MissingDependency, TraceError

BTF = Path("/sys/kernel/btf/vmlinux")
_VERSION = 1
_LINUX = (
    "kernel sched version string socket in6 mm_types fs types blkdev nsproxy ptrace net pid_namespace in "
)
_UAPI = "if_ether bpf_perf_event ptrace if_packet bpf tcp ip in in6"
_EMPTY = (
    *(f"linux/{name}.h" for name in f"{_LINUX} bpf_common init_task tcp skbuff".split()),
    *(f"uapi/linux/{name}.h" for name in _UAPI.split()),
    *("net/sock.h", "net/inet_sock.h", "bcc/proto.h", "asm/page.h"),
)
_KCONFIG = """
/* Stands in for <linux/kconfig.h>, which bcc includes before everything else. */
#ifndef WORKBENCH_KCONFIG
#define WORKBENCH_KCONFIG
#define _UAPI__LINUX_BPF_H__	/* bcc's own copy would define everything twice */
#define CONFIG_BPF_SYSCALL 1
#define BPF_NO_PRESERVE_ACCESS_INDEX	/* bcc's rewriter ends on CO-RE relocations */
#include "vmlinux.h"
#define __user
#define __kernel
#define __iomem
#define __percpu
#define __rcu
#define __force
#define __always_inline inline __attribute__((always_inline))
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#define LINUX_VERSION_CODE KERNEL_VERSION(@VERSION@)
#define NULL ((void *)0)
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#endif
"""
_LOG2 = """
#pragma once
#define ilog2(n) (63 - __builtin_clzll(n))
#define roundup_pow_of_two(n) ((n) == 1 ? 1 : (1UL << (ilog2((n) - 1) + 1)))
#define is_power_of_2(n) ((n) != 0 && (((n) & ((n) - 1)) == 0))
"""


def kernel_source() -> Path:
    """Return the folder to give bcc as the kernel's source; made once for each kernel.

    Raises
    ------
    MissingDependency
        If bpftool is not installed.
    TraceError
        If the kernel carries no type information.
    """
    folder = cache("bcc-shim") / f"{platform.release()}-{_VERSION}"
    if folder.is_dir():
        return folder
    if not BTF.is_file():
        raise TraceError(
            "this kernel carries no type information (BTF), so C probes cannot be compiled for it",
            where=str(BTF),
            fix="use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        )
    tool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if tool is None:
        raise MissingDependency("bpftool is not installed", where="probe", fix="apt-get install bpftool")
    made = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        _fill(made / "include", tool)
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # somebody else made it meanwhile
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _fill(include: Path, tool: str) -> None:
    command = [tool, "btf", "dump", "file", str(BTF), "format", "c"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        raise TraceError(f"bpftool failed: {done.stderr.decode(errors='replace')[-400:]}", where=str(BTF))
    numbers = [*platform.release().split("-")[0].split("."), "0", "0"][:3]
    kconfig = _KCONFIG.replace("@VERSION@", ", ".join(numbers))
    files = {
        "vmlinux.h": done.stdout.decode(),
        "linux/kconfig.h": kconfig,
        "linux/log2.h": _LOG2,
        **dict.fromkeys(_EMPTY, "#pragma once\n"),
    }
    for name, text in files.items():
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text(text)


__all__ = ["BTF", "kernel_source"]
