"""Entry point: registers the commands and turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from harness.cli import authoring, exporting, listing, planning, results, running, serving, sharing
from harness.cli import doctor as machine
from harness.cli.options import Command, CommandGroup
from harness.errors import (
    EXIT_INPUT_WRONG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TRIALS_FAILED,
    HarnessError,
    InputError,
)

EXIT_BUG = 70
"""Exit code of an internal error (EX_SOFTWARE of sysexits.h)."""
GONE = "the folder that this command was started in has been removed; change to one that exists"

app = typer.Typer(
    name="harness",
    cls=CommandGroup,
    help="Benchmark task-agnostic knowledge distillation of Transformer encoders: a YAML spec in, "
    "a ranking out.\n\n"
    "Example: [bold]harness run quickstart[/bold], then [bold]harness report[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _group in (planning, running, listing, results, serving, exporting, sharing, authoring, machine):
    _group.register(app)
for _command in app.registered_commands:
    _command.cls = Command


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"distil-harness {version('distil-harness')}")
        raise typer.Exit


@app.callback()
def _harness(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the program itself."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code (`harness.errors`)."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no `±` shows a `?`
    sys.exit(_run(given, debug="--debug" in given))


def _open_closed_streams() -> None:
    """Lead nowhere what the caller closed (`harness plan >&-`).

    Else the next file that is opened, a database perhaps, would get the number that programs print to.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.close(number)
            mode = "w" if number else "r"
            stream = open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _run(arguments: list[str], debug: bool) -> int:
    if not _is_somewhere():
        return _print_error(GONE, EXIT_INPUT_WRONG, debug=False)
    try:
        code = app(arguments, standalone_mode=False, prog_name="harness")
        sys.stdout.flush()
        return code if isinstance(code, int) else EXIT_OK
    except TyperException as error:  # a mistyped option or command
        with contextlib.suppress(OSError):
            error.show()  # type: ignore[attr-defined]
        return EXIT_INPUT_WRONG
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `harness plan | head`
        return _discard_output()
    except SystemExit as left:  # what typer and rich make of a broken pipe
        if isinstance(left.__context__, BrokenPipeError):
            return _discard_output()
        raise
    except HarnessError as error:
        return _print_error(
            str(error), EXIT_INPUT_WRONG if isinstance(error, InputError) else EXIT_TRIALS_FAILED, debug
        )
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        if not where and not _takes_lines(sys.stdout):
            _discard_output()
            where = " where the output goes; print to another place"
        return _print_error(f"{(error.strerror or str(error))}{where}", EXIT_INPUT_WRONG, debug)
    except Exception as error:
        message = (
            f"a bug in the harness: {type(error).__name__}: {error}; run again with --debug and report it"
        )
        return _print_error(" ".join(message.split()), EXIT_BUG, debug)


def _is_somewhere() -> bool:
    """Whether the current folder, from which every relative path leads, still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _takes_lines(stream: TextIO) -> bool:
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        return False
    return True


def _discard_output() -> int:
    """Redirect what is still buffered to nowhere: the reader of the output has gone, or its disk is full."""
    assert sys.__stdout__ is not None
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    return EXIT_OK


def _print_error(message: str, code: int, debug: bool) -> int:
    with contextlib.suppress(OSError):  # nobody reads it: the exit code says it
        if debug:
            traceback.print_exc()
        print(message, file=sys.stderr)
    return code
