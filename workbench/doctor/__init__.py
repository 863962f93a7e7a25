"""What this machine and this environment offer, and the line to type for what is missing.

::

    finding.py    one thing looked at; the table of all
    packages.py   python, the packages, the backends
    machine.py    processor, memory, compilers, where the store lies
    kernel.py     what tracing and routing need of the kernel

Everything is read from files and metadata; no heavy package is imported.
"""

from .finding import Examination, Finding


def examine() -> Examination:
    """Look at everything.

    Examples
    --------
    >>> examine().to_json()["findings"][0]["what"]
    'python'
    """
    from . import kernel, machine, packages

    return Examination((*packages.findings(), *machine.findings(), *kernel.findings()))


__all__ = ["Examination", "Finding", "examine"]
