"""Sections of ``benchmarks/gpu.py``: a module for what one process measures, with a function ``measure``."""
