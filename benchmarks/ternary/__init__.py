"""Parts of the benchmark ``ternary``: engines, physical limits, timing, convolutions, the figure."""
