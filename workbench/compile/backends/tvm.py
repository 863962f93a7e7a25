"""TVM: the program as Relax, compiled by LLVM for a target; runs on TVM's small runtime or on none at all.

Loading needs apache-tvm-ffi and the 3 MB runtime library of the wheel, not the compiler and not torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import CompileError, MissingDependency, WorkbenchError
from ..base import Progress
from ..config import CompileConfig
from ..options import read_options
from ..source import Source

if TYPE_CHECKING:
    from ...session import Runner


@dataclass(frozen=True)
class TvmOptions:
    """Options of the backend ``tvm``.

    Parameters
    ----------
    kernels
        ``linked``: our kernels serve products, convolutions and the layers of quantized programs; ``tvm``: TVM's
        own schedules serve everything; ``measured``: of each operator and size the one that makes the model faster,
        with tuning records those that were found. For this machine.
    runtime
        ``vm``: TVM's small runtime, any size; ``none``: one shared object with C entry points, fixed sizes. For
        another machine ``auto`` means ``none``, because no runtime is there to run it.
    measure_s
        Seconds in which ``measured`` begins new measurements; what was not measured stays with our kernels.
    """

    kernels: Literal["linked", "tvm", "measured"] = "linked"
    runtime: Literal["auto", "vm", "none"] = "auto"
    measure_s: float = 60.0


class Tvm:
    """Relax in, a shared object out."""

    name = "tvm"
    about = "TVM (Relax, LLVM) for a target; our kernels linked in"
    reference = False
    options = TvmOptions
    schemes = ("none",)
    reported = ("kernels",)
    """What the report shows: of each operator that was measured, what the whole model took either way."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The instruction sets it compiles for."""
        from ..relax.targets import TARGETS

        return TARGETS

    def available(self) -> WorkbenchError | None:
        """Need the wheel, with the library it fits."""
        from ..relax.package import missing

        return missing()

    def refuses(self, target: str) -> WorkbenchError | None:
        """Need a linker for the target."""
        from ...kernels import compile_command, target_named

        try:
            compile_command(target_named(target))
        except MissingDependency as missing:
            return missing
        return None

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.so`` and the generated code.

        Raises
        ------
        CompileError
            If an operator has no form in Relax, or TVM cannot compile it; if tuning records are of another processor.
        MissingDependency
            If no compiler for the target is installed.
        """
        from ...kernels.targets import runs_here, target_named
        from ..emit.record import write_record
        from ..limits import limits_of, write_limits
        from ..relax.lowering import build
        from ..relax.package import compiler
        from ..relax.standalone import build_standalone
        from ..relax.targets import resolve

        options = read_options(TvmOptions, config.options, self.name)
        target = resolve(config.target)
        alone = options.runtime == "none" or (
            options.runtime == "auto" and not runs_here(target_named(target))
        )
        write_limits(out, limits_of(source))
        theirs, kernels = self._chosen(source, out, config, options, alone=alone, progress=progress)
        progress(0.4, f"compiling for {target}")
        module = _lowered(source, target, config.threads, linked=options.kernels != "tvm", theirs=theirs)
        if alone:
            build_standalone(module, source.signature, out, target)
        else:
            build(module, out, target, config.threads)
        write_record(out, target, ())
        return {"tvm": str(compiler().__version__), "target": target, **kernels}

    def _chosen(
        self,
        source: Source,
        out: Path,
        config: CompileConfig,
        options: TvmOptions,
        *,
        alone: bool,
        progress: Progress,
    ) -> tuple[frozenset[str], dict[str, str]]:
        """Return the operators that TVM's schedules serve, and what the report says of them."""
        from ..relax.choosing import choose
        from ..relax.targets import resolve

        if options.kernels != "measured":
            return frozenset(), {}
        if alone:
            raise CompileError(
                "kernels are measured by running them on TVM's small runtime here",
                where="--option kernels=measured",
                fix="leave out --target and runtime=none, or use kernels=linked",
            )
        target = resolve(config.target)

        def lowered(theirs: frozenset[str]) -> Any:
            return _lowered(source, target, config.threads, linked=True, theirs=theirs)

        theirs, said = choose(
            source, lowered, out, target, config.threads, options.measure_s, lambda text: progress(0.3, text)
        )
        return theirs, {"kernels": said}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of ``model.so``."""
        from ..emit.record import HEADER_FILE

        if (compiled / HEADER_FILE).is_file():
            from ..emit.loader import NativeRunner

            return NativeRunner(compiled, threads)
        from ..relax.loading import RelaxRunner

        return RelaxRunner(compiled, threads)

    def rehearse(self, compiled: Path, threads: int) -> Runner:
        """Return what runs it for the check: itself, or an emulator if it was made for another machine."""
        from ...kernels.targets import runs_here, target_named
        from ..emit.record import HEADER_FILE, read_record

        if runs_here(target_named(read_record(compiled).target)) or not (compiled / HEADER_FILE).is_file():
            return self.load(compiled, threads)
        from ..emit.emulated import EmulatedRunner

        return EmulatedRunner(compiled)


def _lowered(
    source: Source, target: str, threads: int, *, linked: bool, theirs: frozenset[str] = frozenset()
) -> Any:
    """Return the program as tensor programs, with the schedules of its tuning records."""
    from ..relax.importing import to_relax
    from ..relax.lowering import fused
    from ..relax.records import check, read_facts
    from ..relax.targets import llvm_target
    from ..relax.tuning import apply

    module = fused(to_relax(source, linked=linked, theirs=theirs), llvm_target(target, threads))
    if source.records is None:
        return module
    check(read_facts(source.records), target, str(source.records))
    return apply(module, llvm_target(target, threads), source.records)


BACKEND = Tvm()
