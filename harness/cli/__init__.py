"""The command `harness`: parsing and printing only, one module for each group of commands.

What a command needs beyond that is imported inside it, so that `harness --help` and `harness validate` load
neither torch nor Ray nor DuckDB."""

from harness.cli.main import main

__all__ = ["main"]
