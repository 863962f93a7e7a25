"""Models side by side, layer by layer: what each takes, what each holds, and where their values part."""
