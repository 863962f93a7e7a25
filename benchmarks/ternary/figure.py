"""The figure of the README: how many times as fast as torch fp32 each engine is, by shape."""

from __future__ import annotations

from pathlib import Path

from ..samples import Samples

FOLDER = Path(__file__).parents[2] / "docs/images"
_ENGINES = {
    "t2": "ours, 2 bits",
    "t5": "ours, 1.6 bits",
    "ort_2bit": "onnxruntime 2 bits",
    "ort_4bit": "onnxruntime 4 bits",
    "ort_8bit": "onnxruntime 8 bits",
    "torch_dynamic_int8": "torch dynamic int8",
    "torch_int_mm": "torch._int_mm",
    "torch_bf16": "torch bf16",
}
_PANELS = {
    "one row, weights in cache": "m1.hot.one",
    "one row, weights in memory": "m1.cold.one",
    "8 rows": "m8.hot.one",
    "128 rows": "m128.hot.one",
}
_SIZES = ("2560x2560", "2560x6912", "6912x2560", "4096x11008")


def draw(samples: Samples) -> None:
    """Write ``docs/images/ternary.png`` and ``.svg``."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(13, 4.2), layout="constrained")
    colours = ["#1f6feb", "#79b8ff", *[str(0.25 + 0.1 * i) for i in range(6)]]
    for axis, (title, suffix) in zip(axes, _PANELS.items(), strict=True):
        for place, (name, colour) in enumerate(zip(_ENGINES, colours, strict=True)):
            keys = [(f"{size}.{suffix}.torch_fp32.us", f"{size}.{suffix}.{name}.us") for size in _SIZES]
            heights = [samples.median(fp32) / samples.median(own) for fp32, own in keys]
            axis.bar([i + place * 0.1 for i in range(4)], heights, 0.1, color=colour, label=_ENGINES[name])
        axis.axhline(1, color="#d1242f", linewidth=0.8)
        axis.set_title(title, fontsize=10)
        axis.set_xticks([i + 0.35 for i in range(4)], _SIZES, fontsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("times as fast as torch fp32 (red line), one thread")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=8, frameon=False
    )
    for suffix, extra in (("png", {"dpi": 110}), ("svg", {"metadata": {"Date": None}})):
        figure.savefig(FOLDER / f"ternary.{suffix}", **extra)
    pyplot.close(figure)
