"""`python -m harness.cli`, for when the command `harness` is not on the path."""

from harness.cli import main

main()
