"""The verbs that make artifacts: capture, quantize, compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError
from ..pipeline.launch import launch
from ..pipeline.naming import as_name, compiled_name, variant_name
from ..pipeline.recipe import Recipe
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..store import Store

if TYPE_CHECKING:
    from ..package.isolation import Isolation
    from ..pipeline.driving import Listener
    from ..quantize import TernaryConfig
    from ..quantize.heal import HealConfig
    from ..session import Session


def capture(
    model: Any,
    inputs: Any = None,
    *,
    name: str = "",
    state: str | Path | None = None,
    dynamic: str = "auto",
    preprocess: Callable[..., Any] | None = None,
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Capture a model as a program.

    Parameters
    ----------
    model
        A torch module; a function that builds one, or its ``"module:function"``; or the path of an ``.onnx``
        file. A live module is captured in this process, even with `background`; anything else in a step's
        process.
    inputs
        One batch of example inputs: a tensor, a tuple or a mapping. An ONNX file needs none.
    name
        What to call the program; by default the name of the file, function or class.
    state
        Weights for a factory's module: a ``.safetensors`` or ``.pt`` file.
    dynamic
        Which dimensions may change: ``auto``, ``none``, or ``input.axis=name,...``.
    preprocess
        Turns a list of raw items into one batch of inputs; declared in the signature and used for
        calibration.

    Raises
    ------
    MissingInput, InputError
        If the model or its inputs are not usable.
    CaptureError
        If the module cannot be exported; names the submodule and the line.
    """
    from ..pipeline.sources import capture_step

    store = store or Store()
    name = name or as_name(_label(model))
    step, live = capture_step(
        store, model, inputs, name=name, state=state, dynamic=dynamic, preprocess=preprocess
    )
    return launch(
        store,
        Recipe((step,)),
        title=f"capture {name}",
        background=background,
        dry_run=dry_run,
        executor=executor,
        on_event=on_event,
        live=None if live is None else {0: live},
    )


def quantize(
    artifact: str,
    *,
    scheme: str = "int8",
    mode: Literal["auto", "static", "dynamic", "weights"] = "auto",
    calibrator: Literal["minmax", "percentile", "entropy"] = "minmax",
    smooth: float | str = 0.0,
    group: int = 32,
    calibrate: Any = None,
    preprocess: Callable[..., Any] | None = None,
    evaluate: Callable[[Session], Any] | None = None,
    max_drop: float | None = None,
    skip: Sequence[str] = (),
    threads: int = 1,
    ternary: TernaryConfig | None = None,
    heal: HealConfig | float | None = None,
    train: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    name: str = "",
    isolate: Isolation | None = None,
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Quantize a captured program and judge the variant beside it.

    Parameters
    ----------
    artifact
        The program.
    scheme, mode, calibrator, smooth, group, skip
        As in :class:`~workbench.quantize.QuantizeConfig`.
    calibrate
        Batches of inputs, or raw items that the declared (or the given) preprocessing turns into batches.
    preprocess
        Applied to lists of raw items here, in this process.
    evaluate
        Called with a session that works like the module; returns a number, higher is better.
    max_drop
        Refuse a variant that scores lower than the program by more than this.
    threads
        Threads of the sessions whose latency is compared.
    ternary
        How weights become ternary (schemes ``ternary`` and ``mixed``); None for the defaults.
    heal
        Train the program for its format first (schemes ``ternary`` and ``int4``): CPU seconds, or a
        :class:`~workbench.quantize.heal.HealConfig`. The float program is trained for as long, as a control.
    train
        A loader of pairs ``(inputs, target)``; read once, at most 20,000 items and 2 GiB.
    loss
        Called with what the module returns and a target; by default cross entropy for integer targets, mean
        squared error for float ones.
    name
        By default ``program:scheme``.
    isolate
        Run the step in a sandbox with these limits.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If the program is not there or not whole.
    EmptyData, NonFinite, MissingInput
        If the calibration data are not usable.
    EvaluationFailed
        If `evaluate` raises or returns no number.
    GateRefused
        If the score drops by more than `max_drop`; ``fields`` carry the numbers.
    """
    from ..pipeline import callables, data, training
    from ..pipeline.preprocess import batches
    from ..pipeline.steps.quantize import QuantizeStep
    from ..quantize import QuantizeConfig, TernaryConfig

    store = store or Store()
    if max_drop is not None and evaluate is None:
        raise InputError(
            "max_drop needs an evaluation function", where="max_drop", fix="give --eval FN: it gets a session"
        )
    program = store.names.resolve(artifact)
    prepared = None if calibrate is None else batches(store, program, calibrate, preprocess)
    step = QuantizeStep(
        program=program,
        config=QuantizeConfig(
            scheme=scheme,
            mode=mode,
            calibrator=calibrator,
            smooth=smooth,
            group=group,
            skip=tuple(skip),
            ternary=ternary or TernaryConfig(),
        ),
        calibration="" if prepared is None else data.put(store, prepared),
        evaluate=None if evaluate is None else callables.send(store, evaluate),
        max_drop=max_drop,
        threads=threads,
        **training.fields(store, heal, train, loss),
        name=name or variant_name(store, artifact, scheme),
    )
    return launch(
        store,
        Recipe((step,), isolation=isolate),
        title=f"quantize {artifact}",
        background=background,
        dry_run=dry_run,
        executor=executor,
        on_event=on_event,
    )


def compile(
    artifact: str,
    *,
    backend: str = "onnxruntime",
    threads: int = 1,
    tolerance_abs: float | None = None,
    tolerance_rel: float | None = None,
    target: str = "",
    options: Mapping[str, bool | int | float | str] | None = None,
    tune: float = 0.0,
    records: str | Path = "",
    name: str = "",
    isolate: Isolation | None = None,
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Compile a program or variant for a backend and check it against torch eager.

    Parameters
    ----------
    artifact
        The program or variant.
    backend
        One of :func:`workbench.backends`, such as ``onnxruntime``, ``openvino`` or ``eager`` (the reference).
    threads
        Threads of the session that is checked.
    tolerance_abs, tolerance_rel
        As in :class:`~workbench.compile.CompileConfig`; None for defaults by dtype and scheme.
    target
        The machine to compile for, such as ``aarch64-neon``; empty for this one. Only some backends have targets.
    options
        The backend's own options by name; :func:`workbench.backends` lists them.
    tune
        Of the backend tvm: seconds to look for faster schedules on this processor first. The records become
        ``artifact/tuning``; a killed run goes on where it was.
    records
        Tuning records to use, or to start from: an artifact, or a file that ``export`` wrote.
    name
        By default ``artifact/backend``, or ``artifact/backend-target`` for another machine.
    isolate
        Run the step in a sandbox with these limits.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If the artifact is not there or not whole.
    UnknownBackend
        If there is no such backend.
    InputError
        If the backend cannot compile for the target, or has no such option.
    NumericalMismatch
        If outputs differ from eager by more than the stated tolerance.
    CompileError
        If tuning records were measured on another processor.
    """
    from ..compile import CompileConfig, check_config
    from .tuning import drawn, steps

    store = store or Store()
    config = CompileConfig(backend, tolerance_abs, tolerance_rel, threads, target, dict(options or {}))
    check_config(config)
    backend = backend if target in ("", "host") else f"{backend}-{target}"
    name = name or compiled_name(store, artifact, backend)
    made = launch(
        store,
        Recipe(steps(store, artifact, config, name, tune, str(records)), isolation=isolate),
        title=f"compile {artifact}",
        background=background,
        dry_run=dry_run,
        executor=executor,
        on_event=on_event,
    )
    return drawn(made)


def _label(model: Any) -> str:
    if isinstance(model, str | Path):
        return str(model).rpartition(":")[2] if ":" in str(model) else Path(model).stem
    return getattr(model, "__name__", None) or type(model).__name__
