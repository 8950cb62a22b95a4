"""A spec that has run is edited and run again: the board shows what the edited spec asks, and nothing stale."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.cli import main
from harness.records.folder import TrialFolder
from tests.faults.injection.tiny import write_spec

Tree = dict[str, Any]
SHORT = {"warmup_steps": 1, "batch_size": 8, "length": 16}


@dataclass(frozen=True)
class Place:
    """A folder with a spec, and the commands in it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> str:
        """What a command prints; it must end well."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*arguments])
        said = self.capsys.readouterr()
        assert left.value.code in (0, None), said.out + said.err
        return said.out + said.err if arguments[0] == "run" else said.out

    @property
    def spec(self) -> Path:
        return self.folder / "tiny.yaml"

    def run(self, tree: Tree) -> str:
        """Run the spec anew."""
        self.spec.write_text(json.dumps(tree), encoding="utf-8")
        return self("run", str(self.spec), "--backend", "local")

    def accuracy(self, tree: Tree) -> dict[str, float]:
        """Model -> its share of right answers on the split that the spec reports, counted from the predictions that the
        trials of its plan left, by the rows' labels in the task's own file."""
        task = tree["tasks"][0]["task"]
        names = list(task["labels"])
        path = Path(task["assets"]["data"]["sources"][0]["path"]) / task["splits"][task["report"]]["files"]
        wanted = [json.loads(row)["label"] for row in path.read_text(encoding="utf-8").splitlines()]
        found = {}
        for trial in json.loads(self("plan", str(self.spec), "--json"))["trials"]:
            if trial["kind"] == "finetune":
                kept = pd.read_parquet(TrialFolder.of(self.folder / "runs", trial["id"]).predictions)
                kept = kept[kept["split"] == task["report"]].sort_values("row")
                told = [task["labels"][names[one]] for one in kept["prediction"]]
                found[trial["labels"].get("method", "teacher")] = sum(map(str.__eq__, told, wanted)) / len(
                    wanted
                )
        return found

    def board(self) -> dict[str, float]:
        """Model -> its mean on the board."""
        rows = json.loads(self("report", "--json"))["tiny"]["rows"]
        return {row["method"] or "teacher": row["mean"] for row in rows}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tree]:
    """A spec that reports dev and has run; its verbs are told wrongly in the test split, so that the splits differ."""
    folder = tmp_path_factory.mktemp("edited")
    tree = json.loads(
        write_spec(
            folder,
            grid={
                "method": ["scratch"],
                "student": [{"name": "s", "layers": 1, "width": 16, "heads": 2, "ffn": 32}],
            },
            distil={"steps": 2, **SHORT},
            finetune={"learning_rate": 3e-3, "epochs": 2, "batch_size": 16, "length": 24, "select_on": "dev"},
            measure={"enabled": False},
        ).read_text(encoding="utf-8")
    )
    del tree["prepare"]
    task = tree["tasks"][0]["task"]
    task |= {"metrics": ["accuracy"], "report": "dev"}
    swapped = {"senses": "other", "other": "senses"}
    test = Path(task["assets"]["data"]["sources"][0]["path"]) / "test.jsonl"
    rows = [json.loads(row) for row in test.read_text(encoding="utf-8").splitlines()]
    test.write_text(
        "\n".join(json.dumps({**row, "label": swapped[row["label"]]}) for row in rows), encoding="utf-8"
    )
    return folder, tree


@pytest.fixture
def place(
    ran: tuple[Path, Tree],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    """A copy of the folder in which the spec has run once."""
    folder, tree = ran
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    first = Place(folder, capsys)
    if not (folder / "runs").exists():
        first.run(tree)
        assert first.board() == pytest.approx(first.accuracy(tree))
    shutil.copytree(folder / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, capsys)


def turn_labels(task: Tree) -> None:
    task["labels"] = dict(reversed(task["labels"].items()))


EDITS: dict[str, Callable[[Tree], object]] = {
    "the reported split": lambda task: task.update(report="test"),
    "the order of labels": turn_labels,
    "both": lambda task: (task.update(report="test"), turn_labels(task)),
    "the file of the reported split": lambda task: task["splits"]["dev"].update(files="test.jsonl"),
}


@pytest.mark.parametrize("what", EDITS)
def test_after_an_edit_the_board_shows_what_the_spec_now_asks(
    what: str, place: Place, ran: tuple[Path, Tree]
) -> None:
    before = place.board()
    tree = json.loads(json.dumps(ran[1]))
    EDITS[what](tree["tasks"][0]["task"])
    place.run(tree)
    after = place.board()
    assert after == pytest.approx(place.accuracy(tree))
    assert after != before
    place("verify")


def test_without_an_edit_nothing_runs_and_the_board_stays(place: Place, ran: tuple[Path, Tree]) -> None:
    before = place.board()
    assert "all done already" in place.run(ran[1])
    assert place.board() == before
