"""The command `harness`: options, printing and exit codes, one module for each group of commands.

What a command does belongs to the rooms below and is imported inside the command, so that `harness --help` and
`harness validate` load neither torch nor Ray nor DuckDB. Tables of results are drawn in `harness.ranking.render`.
"""

from harness.cli.main import main

__all__ = ["main"]
