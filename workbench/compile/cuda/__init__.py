"""Kernels for a GPU, written in Triton; its interpreter runs them without one."""
