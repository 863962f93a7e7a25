"""What every part that loads programs into the kernel shares; each keeps its own C sources in its own ``bpf/``.

* `libbpf`        libbpf through ctypes: load, attach, pin, maps, ring buffers, test runs
* `build`         ``python -m workbench.bpf.build``: compile all sources (wheels ship the objects)
* `capabilities`  give up every right but the few a loader needs
* `service`       such a process for every user of a machine: install, start, status, remove; `sockets` it is asked by
"""
