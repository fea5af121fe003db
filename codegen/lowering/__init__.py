"""Lowerings: one operator of the graph becomes one `Kernel` (codegen/kernel.py)."""
