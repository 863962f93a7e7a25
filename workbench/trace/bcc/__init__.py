"""Probes users write themselves, as BPF C text, compiled by bcc in a process of its own.

bcc brings LLVM, which must not share a process with torch or TVM, and needs root; so the notebook only talks
to :mod:`.host`, and a header shim made from the kernel's own type information stands in for kernel headers.
"""
