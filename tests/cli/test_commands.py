"""The command line as a user meets it: exit codes, one line for each mistake, nothing heavy loaded without need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.cli import main
from harness.spec.catalog import NOUNS, Catalog, shipped_spec_files, shipped_specs
from harness.spec.yaml.reference import kinds, schema_text
from tests.results.boards import Board, write_store
from tests.spec.writing import line_of, write_spec

HEAVY = ("torch", "transformers", "ray", "duckdb", "pandas", "numpy", "datasets", "pyarrow", "streamlit")
COMMANDS = (
    "plan", "run", "validate", "status", "report", "show", "methods", "new", "schema", "ingest", "doctor",
    "verify", "gc", "export", "bundle", "import", "specs", "list", "leaderboard",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str

    @property
    def mistakes(self) -> list[str]:
        """Lines on standard error."""
        return self.err.splitlines()


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.mark.parametrize(
    "arguments", [["--help"], ["methods"], ["validate", str(shipped_specs() / "quickstart.yaml")]]
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        f"except SystemExit as left:\n    print([m for m in {HEAVY!r} if m in sys.modules], left.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_teaches_with_an_example(harness, command: str) -> None:  # type: ignore[no-untyped-def]
    shown = harness(command, "--help") if command != "new" else harness("new", "method", "--help")
    assert shown.code == 0
    assert f"Example: harness {command}" in " ".join(shown.out.split())


def test_the_commands_are_the_documented_ones(harness) -> None:  # type: ignore[no-untyped-def]
    shown = harness("--help").out
    assert all(f" {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", ["plan", "run", "validate"])
@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        (
            "- {name: none, family: control}",
            "- minilmv3",
            "minilmv3",
            "unknown method 'minilmv3'; did you mean 'minilmv2'?",
        ),
        ("warmup_steps", "warmup_step", "warmup_step", "did you mean 'warmup_steps'?"),
        ("steps: 10,", "steps: many,", "steps: many", "should be a valid integer"),
        ("heads: 8}", "heads: 7}", "heads: 7", "relation heads must divide"),
        ("mlm_head: true", "mlm_head: false", "{term: logits}", "no trained masked-LM head"),
        (
            "- {name: none, family: control}",
            "- ./missing.yaml",
            "missing.yaml",
            "no method file './missing.yaml'",
        ),
        ("seed: [1, 2]", "seed: [1, 2", "language", "not YAML"),
    ],
)
def test_bad_input_is_one_line_with_its_place_and_exit_code_2(  # type: ignore[no-untyped-def]
    harness, tmp_path: Path, command: str, old: str, new: str, at: str, expected: str
) -> None:
    path = write_spec(tmp_path, (old, new))
    outcome = harness(command, path)
    assert outcome.code == 2
    (line,) = outcome.mistakes
    assert expected in line
    assert line.startswith(f"{path}:")
    if expected != "not YAML":
        assert line.startswith(f"{path}:{line_of(path, at)}:")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["spec.yaml"]  # nothing touched


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan", "none.yaml"], "none.yaml: cannot be read: no such file or directory"),
        (["plan", "."], ".: cannot be read: is a folder"),
        (["status"], "runs/results.duckdb: there is no database yet"),
        (["report", "--db", "none.duckdb"], "none.duckdb: there is no database yet"),
        (["report", "--losses", "--suite", "GLUE"], "leave out --suite"),
        (["show", "abc"], "there is no database yet"),
        (["ingest"], "--runs-dir runs: no such folder"),
        (["verify"], "--runs-dir runs: no such folder"),
        (["import", "none.zip"], "none.zip: no such file or folder"),
        (["export", "ranking.doc"], "ranking.doc: unknown ending"),
        (["methods", "hs-unifrom"], "unknown method 'hs-unifrom'; did you mean 'hs-uniform'?"),
        (["plan", "quickstrat"], "no spec that ships is called so; did you mean 'quickstart'?"),
        (["run", "quickstrat"], "no spec that ships is called so; did you mean 'quickstart'?"),
        (["validate", "quickstrat"], "no spec that ships is called so; did you mean 'quickstart'?"),
        (["schema", "specs"], "unknown kind 'specs'; did you mean 'spec'?"),
        (["new", "method", "a/b"], "name: should be text of the form"),
        (
            ["validate", "--catalog", "none", str(shipped_specs() / "quickstart.yaml")],
            "--catalog none: no such folder",
        ),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(harness, arguments: list[str], expected: str) -> None:  # type: ignore[no-untyped-def]
    outcome = harness(*arguments)
    assert outcome.code == 2
    (line,) = outcome.mistakes
    assert expected in line


@pytest.mark.parametrize(
    "arguments", [["nope"], ["plan", "--nope", "x"], ["plan"], ["run", "x", "--backend", "slurm"]]
)
def test_a_mistyped_command_or_option_is_exit_code_2(harness, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert harness(*arguments).code == 2


def test_an_unreadable_database_is_one_line(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bad.duckdb").write_bytes(b"no database" * 1000)
    outcome = harness("status", "--db", "bad.duckdb")
    assert outcome.code == 2
    assert len(outcome.mistakes) == 1


def test_the_traceback_is_shown_only_with_debug(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write_spec(tmp_path, ("steps: 10,", "steps: many,"))
    assert "Traceback" not in harness("plan", path).err
    assert "Traceback" in harness("plan", path, "--debug").err


def test_plan_as_json_lists_every_trial(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = harness("plan", write_spec(tmp_path), "--json", "--set", "grid.seed=[7]")
    assert outcome.code == 0
    planned = json.loads(outcome.out)
    assert planned["counts"] == {"distil": 3, "finetune": 8, "measure": 2}
    assert len(planned["trials"]) == 13
    assert {trial["labels"].get("seed") for trial in planned["trials"] if trial["kind"] == "distil"} == {"7"}
    assert planned["core_seconds_left"] > 0


def test_plan_shows_counts_and_groups(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = harness("plan", write_spec(tmp_path))
    assert outcome.code == 0
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "distil od s2 tiny en 2 2" in [line.rpartition(" ")[0].rpartition(" ")[0] for line in lines]


def test_run_says_which_inputs_cannot_be_reached_before_anything_starts(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = harness("run", write_spec(tmp_path), "--backend", "local")
    assert outcome.code == 2
    *missing, ways_out = outcome.mistakes
    assert {line.split(":")[0] for line in missing} == {
        "teacher tiny",
        "corpus text, en, text 0",
        "task pairs, data",
    }
    assert ways_out.startswith("Ways out: ")
    assert not (tmp_path / "runs").exists()


def test_validate_checks_folders_and_names_every_mistake(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "mine" / "methods"
    folder.mkdir(parents=True)
    (folder / "good.yaml").write_text("schema: 1\nname: good\nfamily: control\n")
    (folder / "bad.yaml").write_text("schema: 1\nname: bad\nfamily: contrl\n")
    (folder / "worse.yaml").write_text("schema: 1\nname: worse\n")
    outcome = harness("validate", tmp_path / "mine")
    assert outcome.code == 2
    assert [line.split(": ")[1] for line in outcome.mistakes] == ["family", "the key 'family' is missing"]
    assert "good.yaml  (method good)" in outcome.out


def test_every_shipped_file_is_valid(harness) -> None:  # type: ignore[no-untyped-def]
    outcome = harness("validate", shipped_specs())
    assert (outcome.code, outcome.err) == (0, "")


def test_a_new_method_works_as_it_stands(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert harness("new", "method", "mine", "--dir", "specs").code == 0
    assert harness("validate", "specs").code == 0
    assert harness("methods", "mine").out.startswith("mine  (HS)")
    again = harness("new", "method", "mine", "--dir", "specs")
    assert again.code == 2
    assert "exists already" in again.err
    first = (tmp_path / "specs" / "methods" / "mine.yaml").read_text().splitlines()[0]
    schema = tmp_path / "specs" / "methods" / first.partition("$schema=")[2]
    assert schema.read_text() == schema_text("method")
    path = write_spec(tmp_path, ("- {name: none, family: control}", "- mine"))
    assert harness("plan", path).code == 0


def test_the_ranking_as_json_is_what_export_writes_for_each_suite(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_store(tmp_path / "runs" / "results.duckdb", Board(students=("3L-192",), seeds=(1, 2)))
    report = json.loads(harness("report", "--json").out)
    assert set(report) == {"NLI", "sentiment"}
    assert harness("export", "nli.json", "--suite", "NLI").code == 0
    assert report["NLI"] == json.loads((tmp_path / "nli.json").read_text())
    assert json.loads(harness("report", "--json", "--suite", "NLI").out) == {"NLI": report["NLI"]}
    (mistake,) = harness("report", "--suite", "NLl").mistakes
    assert mistake == "no results of suite 'NLl'; did you mean 'NLI'?"


def test_a_method_is_shown_as_formula_and_layer_map(harness) -> None:  # type: ignore[no-untyped-def]
    shown = harness("methods", "hs-uniform", "--teacher-layers", "6", "--student-layers", "3").out
    assert "L = " in shown
    rows = [
        line.split()[-6:] for line in shown.splitlines() if line.strip().startswith(("student", "2 ", "3 "))
    ]
    assert [[column + 1 for column, cell in enumerate(row) if cell == "●"] for row in rows] == [[2], [4], [6]]


def test_every_shipped_method_is_listed_and_can_be_shown(harness) -> None:  # type: ignore[no-untyped-def]
    listed = json.loads(harness("methods", "--json").out)
    assert {entry["name"] for entry in listed} == {
        path.stem for path in (shipped_specs() / "methods").glob("*.yaml")
    }
    for entry in listed:
        assert harness("methods", entry["name"]).code == 0


@pytest.mark.parametrize("name", list(shipped_spec_files()))
def test_a_spec_that_ships_goes_by_its_name_from_anywhere(harness, name: str) -> None:  # type: ignore[no-untyped-def]
    outcome = harness("validate", name)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"(spec {name}," in outcome.out


def test_a_file_of_ones_own_comes_before_a_spec_that_ships(harness, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "quickstart").write_text(write_spec(tmp_path).read_text("utf-8"), encoding="utf-8")
    assert "ok  quickstart  (spec" in harness("validate", "quickstart").out


def test_every_spec_that_ships_is_listed_with_its_size(harness) -> None:  # type: ignore[no-untyped-def]
    listed = json.loads(harness("specs", "--json").out)
    assert [one["spec"] for one in listed] == list(shipped_spec_files())
    assert all(one["students"] >= 1 and one["what it is"] for one in listed)


@pytest.mark.parametrize("kind", NOUNS)
def test_every_entry_of_the_catalog_is_listed(harness, kind: str) -> None:  # type: ignore[no-untyped-def]
    listed = json.loads(harness("list", kind, "--json").out)
    assert [one[NOUNS[kind]] for one in listed] == Catalog().names(kind)
    assert harness("list", kind).code == 0


def test_the_version_is_the_packages(harness) -> None:  # type: ignore[no-untyped-def]
    assert harness("--version").out == f"distil-harness {version('distil-harness')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_show_no_type(harness, command: str) -> None:  # type: ignore[no-untyped-def]
    shown = harness(command, "--help") if command != "new" else harness("new", "method", "--help")
    assert "--help" in shown.out
    assert "<bool>" not in shown.out


def test_a_shell_completes_commands_and_specs(tmp_path: Path) -> None:
    asked = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": "harness plan quick", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli"],
        env={**os.environ, **asked}, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["quickstart"]


def test_schema_without_arguments_says_what_it_can_do(harness) -> None:  # type: ignore[no-untyped-def]
    shown = harness("schema").out
    assert all(way in shown for way in ("schema spec", "--out", "--reference", *kinds()))


def test_the_doctor_ends_with_a_verdict_on_each_shipped_spec(harness) -> None:  # type: ignore[no-untyped-def]
    verdict = harness("doctor").out.splitlines()[-1]
    said = dict(one.split(": ") for one in verdict.split("; "))
    assert list(said) == list(shipped_spec_files())
    assert said["paper-english"] == "no hub"  # nothing is at hand in an empty folder, and nobody may be asked
    assert "package index" in said["quickstart"]
    assert harness("doctor", "--all").out.splitlines()[-1] == verdict
