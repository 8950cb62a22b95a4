"""The fixtures of `tests/samples.py`."""

from samples import package_index, shared_sources, sources

__all__ = ["package_index", "shared_sources", "sources"]
