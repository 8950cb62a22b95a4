"""The shipped board: small bundles, read together, of which a damaged one costs only itself."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.ranking.board import read_board
from harness.records.folder import trial_folders
from harness.results.bundle import CURVE_POINTS, bundle, import_bundle, import_readable, trials_of_seed
from harness.results.connect import writing
from harness.results.shipped_board import joined, shipped_board
from harness.results.store import Store
from harness.results.verify import verify

from . import boards
from .boards import Board
from .ingredients import QUICK

BOARD = Board(methods=("od", "minilmv2"), students=("3L-192",), seeds=(1, 2), tasks=QUICK[:1], rows=200)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    boards.write_folders(folder, BOARD, predictions=True)
    return folder


@pytest.fixture(scope="module")
def place(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle a seed."""
    folder = tmp_path_factory.mktemp("board")
    for seed in (1, 2):
        trials = trials_of_seed(runs, seed)
        bundle(runs, folder / f"seed-{seed}.zip", trials=trials, compact=True)
    return folder


def test_bundles_of_every_seed_make_the_whole_board(runs: Path, place: Path, tmp_path: Path) -> None:
    board = shipped_board(tmp_path, place)
    assert board.problems == ()
    trials = set(board.store.frame("SELECT trial_id FROM trials")["trial_id"])
    assert trials == {folder.path.name for folder in trial_folders(runs)}
    assert verify(board.store.runs_dir, board.store) == []
    whole = Store(tmp_path / "own.duckdb")
    whole.ingest(runs)
    columns = ["config_id", "mean", "n"]
    ours, theirs = (read_board(one).ranking().table[columns] for one in (whole, board.store))
    assert ours.equals(theirs)
    assert not board.empty
    assert "trials on" in board.sentence()


def test_a_compact_bundle_is_smaller_and_its_curves_are_short(runs: Path, tmp_path: Path) -> None:
    for name, compact in (("plain.zip", False), ("compact.zip", True)):
        bundle(runs, tmp_path / name, compact=compact)
    assert (tmp_path / "compact.zip").stat().st_size < (tmp_path / "plain.zip").stat().st_size
    import_bundle(tmp_path / "compact.zip", tmp_path / "there")
    for folder in trial_folders(tmp_path / "there"):
        assert len(list(folder.read_progress())) <= CURVE_POINTS


def test_the_second_call_builds_nothing(place: Path, tmp_path: Path) -> None:
    first = shipped_board(tmp_path, place).store
    assert shipped_board(tmp_path, place).store.state() == first.state()


def test_a_parent_may_be_in_another_bundle(runs: Path, tmp_path: Path) -> None:
    makers = {parent for one in trial_folders(runs) if (t := one.read_trial()) for parent in t.makers}
    rest = {folder.path.name for folder in trial_folders(runs)} - makers
    bundle(runs, tmp_path / "a.zip", trials=frozenset(makers))
    bundle(runs, tmp_path / "b.zip", trials=frozenset(rest))
    report, problems = import_readable([tmp_path / "b.zip", tmp_path / "a.zip"], tmp_path / "there")
    assert problems == ()
    assert set(report.merged) == makers | rest
    (tmp_path / "a.zip").unlink()
    _, problems = import_readable([tmp_path / "b.zip"], tmp_path / "elsewhere")
    assert len(problems) == 1
    assert "depends on" in problems[0]


def test_own_results_and_the_board_are_joined(runs: Path, place: Path, tmp_path: Path) -> None:
    own = Store(tmp_path / "own" / "results.duckdb")
    boards.write_store(
        own.path, Board(methods=("hs-last",), students=("3L-192",), seeds=(1,), tasks=QUICK[:1])
    )
    with writing(own.path) as con:  # the tables that this board leaves empty
        con.execute("INSERT INTO layer_pairs BY NAME SELECT trial_id, 'cka' AS measure FROM trials")
        con.execute("INSERT INTO transfers BY NAME SELECT trial_id, ['matrix'] AS fitted FROM trials")
        con.execute("INSERT INTO rarity BY NAME SELECT trial_id, 1 AS quarter FROM trials")
    board = shipped_board(tmp_path, place)
    both = joined(own, board, tmp_path)
    assert {"hs-last", "od", "minilmv2"} <= set(read_board(both).ranking().table["method"])
    for name in own.frame(
        "SELECT table_name FROM duckdb_tables() WHERE NOT starts_with(table_name, 'harness')"
    )["table_name"]:
        rows = [
            set(map(str, one.frame(f"SELECT * FROM {name}")["trial_id"])) for one in (own, board.store, both)
        ]
        assert rows[2] == rows[0] | rows[1], name
    assert both.frame("SELECT DISTINCT fitted FROM transfers")["fitted"].map(list).tolist() == [["matrix"]]


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


def _flipped(seed: int) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        data = bytearray(content)
        for at in random.Random(seed).sample(range(len(data)), 20):
            data[at] ^= 0xFF
        return bytes(data)

    return change


DAMAGE = {
    "empty": _cut(0),
    **{f"cut at {share}": _cut(share) for share in (0.01, 0.3, 0.7, 0.99)},
    **{f"20 bytes flipped, draw {seed}": _flipped(seed) for seed in range(8)},
    "a page of HTML": lambda content: b"<!doctype html>404",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bundle_costs_only_itself(damage: str, place: Path, tmp_path: Path) -> None:
    _expect_one_problem(tmp_path, place, DAMAGE[damage]((place / "seed-2.zip").read_bytes()))


def _expect_one_problem(tmp_path: Path, place: Path, content: bytes) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "seed-1.zip").write_bytes((place / "seed-1.zip").read_bytes())
    (tmp_path / "board" / "seed-2.zip").write_bytes(content)
    board = shipped_board(tmp_path / "cache", tmp_path / "board")
    assert len(board.problems) == 1
    assert "seed-2.zip" in board.problems[0]
    assert "\n" not in board.problems[0]
    assert set(board.store.frame("SELECT distil_seed FROM trials WHERE kind = 'distil'")["distil_seed"]) == {
        1
    }


def _newer_manifest(files: dict[str, bytes]) -> None:
    manifest = json.loads(files["bundle.json"])
    files["bundle.json"] = json.dumps({**manifest, "schema": 2}).encode()


def _other_score(files: dict[str, bytes]) -> None:
    name = next(one for one in files if one.endswith("result.json"))
    files[name] = files[name].replace(b'"status":"ok"', b'"status": "ok"')


def _outside(files: dict[str, bytes]) -> None:
    files["../outside.txt"] = b"x"


def _code(files: dict[str, bytes]) -> None:
    files["trials/0123456789abcdef/model.pkl"] = b"x"


def _bomb(files: dict[str, bytes]) -> None:
    name = next(one for one in files if one.endswith("progress.jsonl"))
    files[name] = bytes(8 * 2**20)


@pytest.mark.parametrize("trick", [_newer_manifest, _other_score, _outside, _code, _bomb])
def test_a_bundle_with_a_trick_in_it_costs_only_itself(
    trick: Callable[[dict[str, bytes]], None], place: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(place / "seed-2.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    trick(files)
    with zipfile.ZipFile(tmp_path / "tricked.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    _expect_one_problem(tmp_path, place, (tmp_path / "tricked.zip").read_bytes())
    assert not list(tmp_path.rglob("outside.txt"))
