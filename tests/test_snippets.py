"""What the README and docs/ tell to type: every command of the harness exists with its options, and the walk through a new
method runs as it is printed."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.exceptions import TyperException
from typer.main import get_command

from harness.cli import main
from harness.cli.main import app
from harness.errors import InputError
from harness.spec.catalog import shipped_specs

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
FENCED = re.compile(r"^ *```(?:console|bash|sh|)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LANGUAGES = re.compile(r"^ *```(?:yaml|python|toml|mermaid|json)\n.*?^ *```", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"(?:^ *|\$ |-- )harness +([a-z][^\n`]*)", re.MULTILINE)
INLINE = re.compile(r"`harness ([a-z][^`]*)`")
METHOD_PAGE = (ROOT / "docs" / "adding-a-method.md").read_text("utf-8")


def _commands(page: Path) -> Iterator[str]:
    """What stands behind `harness` in blocks and in running text, without comments and what the shell does with it."""
    text = LANGUAGES.sub("", page.read_text("utf-8"))
    blocks = "\n".join(FENCED.findall(text)).replace("\\\n", " ")
    prose = " ".join(FENCED.sub("", text).split())
    for found in [*TYPED.findall(blocks), *INLINE.findall(prose)]:
        yield re.split(r"\s[#&|>]", found)[0].strip()


ALL = sorted({(page.name, command) for page in PAGES for command in _commands(page)})


def test_pages_tell_what_to_type() -> None:
    assert {"README.md", "adding-a-method.md", "scaling.md", "data.md"} <= {page for page, _ in ALL}


@pytest.mark.parametrize(("page", "command"), ALL)
def test_a_command_exists_with_its_options(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name, *arguments = shlex.split(command)
    known = get_command(app).commands  # type: ignore[attr-defined]
    assert name in known, page
    assert _refused(known[name], name, arguments) in ("", "value is the reader's"), page


def _refused(command: Any, name: str, arguments: list[str]) -> str:
    """Why a command line is refused; a name, file or value that is the reader's own is no reason."""
    own = any(one.isupper() or (one.endswith(".yaml") and not one.startswith("specs/")) for one in arguments)
    try:
        command.make_context(name, arguments)
    except (TyperException, InputError) as error:
        left_open = re.search("requires an argument|Missing (argument|parameter)", str(error))
        return "value is the reader's" if left_open or (own and isinstance(error, InputError)) else str(error)
    return ""


def _console(beginning: str) -> list[str]:
    """The lines of the console block of the page on methods that begins so."""
    blocks = re.findall(r"^```console\n(.*?)^```", METHOD_PAGE, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if block.startswith(beginning))
    return block.splitlines()


def _said(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the harness prints on a command line as the page shows it."""
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        main(shlex.split(command.removeprefix("$ harness "), comments=True))
    said = capsys.readouterr()
    return (said.out + said.err).splitlines()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shipped specs, as the reader's checkout has them."""
    shutil.copytree(shipped_specs(), tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_walk_through_a_new_method_runs_as_printed(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    for line in _console("$ harness new method"):
        if line.startswith("$"):
            said = _said(line, capsys)
            assert said
        else:
            assert line in said
    assert (checkout / "specs" / "methods" / "my-method.yaml").is_file()
    plan, run = _console("$ harness plan")
    assert plan.split("specs/")[1] == run.split("specs/")[1]
    assert any("my-method" in line or "Plan of quickstart" in line for line in _said(plan, capsys))


def test_a_mistake_is_answered_as_printed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, answer = _console("$ harness validate my-method.yaml")
    _said("$ harness new method my-method", capsys)
    written = (checkout / "specs" / "methods" / "my-method.yaml").read_text("utf-8")
    term = re.search(r"^ *- term: \w+", written, re.MULTILINE)
    assert term is not None
    wrong = written.replace(term.group(), re.sub(r"\w+$", "hidden_state", term.group()), 1)
    Path("my-method.yaml").write_text(wrong, encoding="utf-8")
    line = wrong[: term.start()].count("\n") + 1
    (said,) = _said(command, capsys)
    assert said == re.sub(r":7:", f":{line}:", answer)
    assert os.path.exists("my-method.yaml")
