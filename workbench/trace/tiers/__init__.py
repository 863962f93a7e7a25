"""Ways to trace, best first: in the kernel (bpf), with the kernel's clock (perf), by ourselves (sampler)."""
