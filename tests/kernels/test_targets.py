"""One packed weight, the same sums on every instruction set; those of other machines run under qemu-user.

Each is also compared with plain integers on random shapes: products, whole layers and convolutions.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from workbench.errors import MissingDependency
from workbench.kernels import SOURCES, TARGETS, compile_command
from workbench.kernels.targets import runs_here

CHECK = Path(__file__).parent / "check.c"
PRINTED = "outputs 8168 wrong 0 hash bed3d9c17ba248f0"
SEED, CASES = "20261126", "40"
RANDOM = "outputs 116499 wrong 0 hash ff816eb07e8c075c"
# Vector lengths that a program meets without having been compiled for them.
LENGTHS = {
    "aarch64-sve": [["qemu-aarch64", "-cpu", f"max,sve-default-vector-length={n}"] for n in (16, 32, 256)],
    "riscv64-rvv": [
        ["qemu-riscv64", "-cpu", f"rv64,v=true,vext_spec=v1.0,vlen={n}"] for n in (128, 512, 1024)
    ],
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_bytes_and_sums_everywhere(name, tmp_path):
    target, program = TARGETS[name], tmp_path / "check"
    try:
        command = compile_command(target)
    except MissingDependency as missing:
        pytest.skip(f"{missing.what} (system-packages.txt)")
    sources = [str(SOURCES / "ternary.c"), str(CHECK)]
    subprocess.run([*command, *sources, "-Werror", "-static", "-o", str(program), "-lm"], check=True)
    runners = [[]] if runs_here(target) else [list(target.emulator), *LENGTHS.get(name, [])]
    if runners[0] and shutil.which(runners[0][0]) is None:
        pytest.skip(f"{runners[0][0]} is not installed (system-packages.txt)")
    for runner in runners:
        for arguments, printed in ([], PRINTED), ([SEED, CASES], RANDOM):
            shown = subprocess.run(
                [*runner, program, *arguments], capture_output=True, text=True, timeout=240
            )
            assert shown.stdout.strip() == printed, (runner, shown)


@pytest.mark.parametrize("intel", [0, 1])
def test_the_same_sums_by_what_is_fastest_on_either_makers_processors(intel, tmp_path):
    target, program = TARGETS["x86-64-avx512-vnni"], tmp_path / "check"
    if not runs_here(target):
        pytest.skip("this processor lacks AVX-512 VNNI, and qemu-user has no AVX-512")
    sources = [str(SOURCES / "ternary.c"), str(CHECK), f"-DTERN_INTEL={intel}"]
    subprocess.run([*compile_command(target), *sources, "-Werror", "-o", str(program), "-lm"], check=True)
    for arguments, printed in ([], PRINTED), ([SEED, CASES], RANDOM):
        shown = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=240)
        assert shown.stdout.strip() == printed
