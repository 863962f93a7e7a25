"""What the workbench costs, measured: ``python -m benchmarks NAME [--quick] [--json FILE]``.

One file a benchmark under ``benchmarks/cases/``; its name is the file's. The keys are explained in README.md.
"""
