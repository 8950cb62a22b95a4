"""Shared results are checked to the last score before anything of them is merged; a hostile bundle changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import InputError
from harness.records.folder import TrialFolder, trial_folders
from harness.results.bundle import bundle, import_bundle
from harness.results.store import Store
from harness.results.verify import verify

from . import boards
from .boards import Board
from .ingredients import QUICK

BOARD = Board(methods=("od", "minilmv2"), students=("3L-192",), seeds=(1, 2), tasks=QUICK[:1], rows=200)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with predictions."""
    folder = tmp_path_factory.mktemp("runs")
    boards.write_folders(folder, BOARD, predictions=True)
    return folder


@pytest.mark.parametrize("name", ["shared", "shared.zip"])
def test_what_is_bundled_and_imported_is_what_was_there(runs: Path, tmp_path: Path, name: str) -> None:
    count = bundle(runs, tmp_path / name, origin="a synthetic board")
    there = tmp_path / "there"
    report = import_bundle(tmp_path / name, there)
    assert len(report.merged) == count == len(list(trial_folders(runs)))
    store = Store(there / "results.duckdb")
    store.ingest()
    assert verify(there, store) == []
    assert set(store.frame("SELECT DISTINCT origin FROM trials")["origin"]) == {f"{name} · a synthetic board"}
    again = import_bundle(tmp_path / name, there)
    assert again.merged == ()
    assert again.known == report.merged


def test_a_trial_that_is_here_already_is_left_as_it_is(runs: Path, tmp_path: Path) -> None:
    bundle(runs, tmp_path / "b")
    first = next(trial_folders(runs))
    mine = tmp_path / "mine" / first.path.name
    mine.mkdir(parents=True)
    for file in ("trial.json", "result.json"):
        (mine / file).write_bytes((first.path / file).read_bytes())
    before = (mine / "result.json").stat().st_mtime_ns
    report = import_bundle(tmp_path / "b", tmp_path / "mine")
    assert report.known == (first.path.name,)
    assert (mine / "result.json").stat().st_mtime_ns == before


def _finetune(root: Path) -> TrialFolder:
    return next(f for f in trial_folders(root / "trials") if (f.path / "predictions.parquet").exists())


def _rehash(root: Path) -> None:
    """What an attacker would do: make the manifest agree with the altered files."""
    manifest = json.loads((root / "bundle.json").read_text())
    files = [one for one in (root / "trials").rglob("*") if one.is_file() and not one.is_symlink()]
    manifest["files"] = {
        one.relative_to(root).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest() for one in files
    }
    (root / "bundle.json").write_text(json.dumps(manifest))


def _edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _better_score(root: Path) -> None:
    _edit(_finetune(root).path / "result.json", lambda r: r["scores"][1].update(value=0.99))


def _fewer_rows(root: Path) -> None:
    _edit(_finetune(root).path / "result.json", lambda r: r["scores"][1].update(n=100))


def _other_setting(root: Path) -> None:
    _edit(_finetune(root).path / "trial.json", lambda t: t["job"]["recipe"].update(epochs=9))


def _other_recipe_version(root: Path) -> None:
    _edit(_finetune(root).path / "trial.json", lambda t: t.update(recipe_version=7))


def _other_configuration(root: Path) -> None:
    folder = next(f for f in trial_folders(root / "trials") if f.read_trial().kind == "distil")  # type: ignore[union-attr]
    _edit(folder.path / "trial.json", lambda t: t.update(config_id="0" * 16))


def _evaluation_moved(root: Path) -> None:
    folders = (f for f in trial_folders(root / "trials") if f.read_trial().labels.get("student"))  # type: ignore[union-attr]
    folder = next(f for f in folders if f.read_trial().kind == "finetune")  # type: ignore[union-attr]
    _edit(folder.path / "trial.json", lambda t: t.update(config_id="0" * 16))


def _no_predictions(root: Path) -> None:
    _finetune(root).predictions.unlink()


def _pickled_predictions(root: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (os.mkdir, ("pickle-was-run",))

    _finetune(root).predictions.write_bytes(pickle.dumps(Bomb()))


def _text_labels(root: Path) -> None:
    path = _finetune(root).predictions
    pd.read_parquet(path).astype({"label": str}).to_parquet(path)


def _unknown_key(root: Path) -> None:
    _edit(_finetune(root).path / "result.json", lambda r: r.update(extra=1))


def _deep_json(root: Path) -> None:
    (_finetune(root).path / "trial.json").write_text("[" * 100_000)


def _huge_json(root: Path) -> None:
    (_finetune(root).path / "trial.json").write_bytes(b" " * (5 * 2**20))


def _orphan(root: Path) -> None:
    for folder in trial_folders(root / "trials"):
        if folder.read_trial().kind == "prepare":  # type: ignore[union-attr]
            shutil.rmtree(folder.path)


def _foreign_file(root: Path) -> None:
    (_finetune(root).path / "model.pkl").write_bytes(b"x")


def _foreign_folder(root: Path) -> None:
    (root / "trials" / "not-a-trial").mkdir()
    (root / "trials" / "not-a-trial" / "trial.json").write_text("{}")


def _link(root: Path) -> None:
    predictions = _finetune(root).predictions
    predictions.unlink()
    predictions.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (_better_score, "the predictions give"),
        (_fewer_rows, "200 predictions for a score of 100"),
        (_other_setting, "id does not follow"),
        (_other_recipe_version, "id does not follow"),
        (_other_configuration, "configuration does not follow"),
        (_evaluation_moved, "another configuration"),
        (_no_predictions, "cannot be checked"),
        (_pickled_predictions, "cannot be read as predictions"),
        (_text_labels, "not numbers"),
        (_unknown_key, "malformed"),
        (_deep_json, "malformed"),
        (_huge_json, "larger than"),
        (_orphan, "neither in the bundle nor in this runs directory"),
        (_foreign_file, "does not belong"),
        (_foreign_folder, "does not belong"),
        (_link, "is a link"),
    ],
)
def test_an_altered_bundle_is_refused_in_one_line_and_nothing_is_merged(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alter: Callable[[Path], None], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle(runs, tmp_path / "b")
    alter(tmp_path / "b")
    _rehash(tmp_path / "b")
    with pytest.raises(InputError, match=says) as refused:
        import_bundle(tmp_path / "b", tmp_path / "there")
    assert "\n" not in str(refused.value)
    assert not list(trial_folders(tmp_path / "there"))
    assert not (tmp_path / "pickle-was-run").exists()


def test_files_that_the_manifest_does_not_name_are_refused(runs: Path, tmp_path: Path) -> None:
    bundle(runs, tmp_path / "b")
    _better_score(tmp_path / "b")
    with pytest.raises(InputError, match=r"differs from the hash in bundle\.json"):
        import_bundle(tmp_path / "b", tmp_path / "there")


ID = "0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    ["../trial.json", "/etc/trial.json", f"trials/{ID}/../../x", f"trials/../{ID}/trial.json",
     "trials//trial.json", f"trials/{ID}/model.safetensors",
     f"trials/{ID}/checkpoint/x.pt", "C:\\x", f"trials/{ID}/trial.json/x"],
)  # fmt: skip
def test_a_zip_with_a_name_that_leaves_it_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("bundle.json", "{}")
        archive.writestr(name, "x")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="does not belong"):
        import_bundle(tmp_path / "b.zip", tmp_path / "there")
    assert sorted(tmp_path.rglob("*")) == before


def test_zip_bombs_links_doubles_and_broken_zips_are_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"trials/{ID}/result.json", b"0" * (12 * 2**20))
    link = tmp_path / "link.zip"
    with zipfile.ZipFile(link, "w") as archive:
        entry = zipfile.ZipInfo(f"trials/{ID}/trial.json")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    double = tmp_path / "double.zip"
    with zipfile.ZipFile(double, "w") as archive:
        archive.writestr("bundle.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("bundle.json", "{}")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(bomb.read_bytes()[:-30])
    for path, says in (
        (bomb, "compressed too much"),
        (link, "plain file"),
        (double, "have the same name"),
        (broken, "cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            import_bundle(path, tmp_path / "there")


def test_verify_names_what_does_not_agree(tmp_path: Path) -> None:
    boards.write_folders(tmp_path, BOARD, predictions=True)
    store = Store(tmp_path / "results.duckdb")
    store.ingest()
    assert verify(tmp_path, store) == []
    folder = next(f for f in trial_folders(tmp_path) if f.predictions.exists())
    _edit(folder.path / "result.json", lambda r: r["scores"][0].update(value=0.5))
    found = {(one.trial_id, one.message.split(" ")[0]) for one in verify(tmp_path, store)}
    assert found == {(folder.path.name, "accuracy"), (folder.path.name, "the")}
