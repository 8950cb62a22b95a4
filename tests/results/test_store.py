"""The database is an index of the folders: it can be rebuilt, migrated, written while it is read, and it
says what is wrong with it.
"""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from harness.base import digest, identity_fields
from harness.errors import InputError
from harness.ranking.board import read_board
from harness.records.folder import TrialFolder, trial_folders
from harness.results import database as schema
from harness.results import tables
from harness.results.store import Store
from harness.results.tables import PROGRESS_POINTS, thinned
from harness.results.verify import verify
from harness.spec.entries import Student, Teacher

from . import boards, ingredients
from .boards import Board

SMALL = Board(methods=("od", "minilmv2"), students=("3L-192",), seeds=(1, 2), learning_rates=(2e-5, 3e-5))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a small synthetic board."""
    folder = tmp_path_factory.mktemp("runs")
    boards.write_folders(folder, SMALL)
    return folder


def test_a_rebuild_finds_every_folder(runs: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    report = store.ingest(runs)
    folders = list(trial_folders(runs))
    assert report.trials == report.results == len(folders)
    assert report.unreadable == ()
    stored = set(store.frame("SELECT trial_id FROM trials")["trial_id"])
    assert stored == {folder.path.name for folder in folders}


def test_recording_one_by_one_gives_what_a_rebuild_gives(runs: Path, tmp_path: Path) -> None:
    whole, single = Store(tmp_path / "whole.duckdb"), Store(tmp_path / "single.duckdb")
    whole.ingest(runs)
    # parents before children, as a run records them; twice, as a retried run does
    order = {"prepare": 0, "distil": 1, "finetune": 2, "measure": 3}
    folders = sorted(trial_folders(runs), key=lambda one: order[one.read_trial().kind])  # type: ignore[union-attr]
    for folder in [*folders, *folders[:3]]:
        assert single.ingest_folders([folder]) == 1
    for table in ("trials", "scores", "measurements", "progress"):
        query = f"SELECT * FROM {table} ORDER BY ALL"
        assert whole.frame(query).to_json() == single.frame(query).to_json(), table


def test_recording_all_at_once_gives_what_a_rebuild_gives(runs: Path, tmp_path: Path) -> None:
    whole, once = Store(tmp_path / "whole.duckdb"), Store(tmp_path / "once.duckdb")
    whole.ingest(runs)
    folders = list(trial_folders(runs))
    for _ in range(2):
        assert once.ingest_folders(folders) == len(folders)
    for table in ("trials", "scores", "measurements", "progress"):
        query = f"SELECT * FROM {table} ORDER BY ALL"
        assert whole.frame(query).to_json() == once.frame(query).to_json(), table


def test_a_folder_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    boards.write_folders(tmp_path, SMALL)
    broken, half = list(trial_folders(tmp_path))[:2]
    (broken.path / "trial.json").write_text("{")
    (half.path / "result.json").write_text('{"schema": 1}')
    report = Store(tmp_path / "results.duckdb").ingest()
    assert set(report.unreadable) == {broken.path.name, half.path.name}
    assert report.trials == len(list(trial_folders(tmp_path))) - 1


def test_the_empty_folder_of_a_trial_that_could_not_begin_is_no_fault(tmp_path: Path) -> None:
    boards.write_folders(tmp_path, SMALL)
    (tmp_path / ("0" * 16)).mkdir()
    store = Store(tmp_path / "results.duckdb")
    assert store.ingest().unreadable == ()
    assert list(verify(tmp_path, store)) == []


def test_a_trial_without_a_result_is_running_and_a_planned_one_planned(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    trials = [trial for trial, _, _ in boards.entries(SMALL)]
    store.plan(trials)
    store.record(trials[0])
    store.plan(trials)
    counts = dict(store.frame("SELECT status, count(*) FROM trials GROUP BY 1").itertuples(index=False))
    assert counts == {"planned": len(trials) - 1, "running": 1}


def test_learning_curves_are_thinned_with_both_ends_kept() -> None:
    assert thinned(range(10), 20) == list(range(10))
    kept = thinned(range(100_000), PROGRESS_POINTS)
    assert len(kept) == len(set(kept)) == PROGRESS_POINTS
    assert (kept[0], kept[-1]) == (0, 99_999)


def _as_version(path: Path, version: int) -> None:
    """Write a database as the harness of that schema version did, with one trial in it."""
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE harness_schema (version INTEGER)")
        for step in range(1, version + 1):
            schema.MIGRATIONS[step](con)
            con.execute("INSERT INTO harness_schema VALUES (?)", [step])
        con.execute("INSERT INTO trials (trial_id, kind, status) VALUES ('0123456789abcdef', 'distil', 'ok')")


@pytest.mark.parametrize("version", sorted(schema.MIGRATIONS))
def test_every_earlier_version_is_brought_up_to_date_and_keeps_its_trials(
    tmp_path: Path, version: int
) -> None:
    old, new = tmp_path / "old.duckdb", tmp_path / "new.duckdb"
    _as_version(old, version)
    with duckdb.connect(str(new)) as con:
        assert schema.migrate(con) == sorted(schema.MIGRATIONS)
    assert Store(old).frame("SELECT trial_id FROM trials")["trial_id"].tolist() == ["0123456789abcdef"]
    columns = (
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    )
    if version < schema.VERSION:
        assert Store(old).frame(columns).to_json() == Store(new).frame(columns).to_json()
    assert Store(old).frame("SELECT max(version) AS v FROM harness_schema")["v"].tolist() == [schema.VERSION]


def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    trial, result, _ = next(boards.entries(SMALL))
    store.record(trial, result)
    with duckdb.connect(str(store.path)) as con:
        con.execute("INSERT INTO harness_schema VALUES (?)", [schema.VERSION + 7])
    before = store.path.read_bytes()
    for use in (lambda: store.frame("SELECT 1"), lambda: store.record(trial, result)):
        with pytest.raises(InputError, match=rf"schema version is {schema.VERSION + 7}.*update the harness"):
            use()
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 20_000, b"CREATE TABLE"])
def test_a_file_that_is_no_database_is_refused_in_one_line_and_rebuilt(
    runs: Path, tmp_path: Path, content: bytes
) -> None:
    store = Store(tmp_path / "results.duckdb")
    store.path.write_bytes(content)
    with pytest.raises(InputError, match="harness ingest") as refused:
        store.frame("SELECT 1")
    assert "\n" not in str(refused.value)
    assert str(store.path) in str(refused.value)
    assert store.ingest(runs).trials > 0
    assert len(store.frame("SELECT * FROM cells")) > 0


def test_a_truncated_database_is_refused_or_still_right(runs: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    store.ingest(runs)
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="harness ingest"):
        store.frame("SELECT count(*), sum(value) FROM scores")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    with duckdb.connect(str(store.path)) as con:
        con.execute("CREATE TABLE cats (name VARCHAR)")
    with pytest.raises(InputError, match="not those of the harness"):
        store.frame("SELECT 1")


def test_a_missing_database_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="harness run SPEC"):
        Store(tmp_path / "none.duckdb").frame("SELECT 1")


def test_readers_and_a_rebuild_work_while_results_are_recorded(runs: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    store.ingest(runs)
    wanted = int(store.frame("SELECT count(*) AS n FROM trials")["n"].iloc[0])
    seen: list[int] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                seen.append(int(store.frame("SELECT count(*) AS n FROM trials")["n"].iloc[0]))
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for folder in list(trial_folders(runs))[:8]:
        store.ingest_folders([TrialFolder(folder.path)])
    store.ingest(runs)
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert len(seen) > 3
    assert set(seen) == {wanted}


def _four_fields(teacher: Teacher, student: Student | None) -> str:
    """The key of a measurement up to version 3."""
    if student is None:
        return digest([teacher, None])
    return digest([teacher, [student.layers, student.width, student.heads, student.ffn or 4 * student.width]])


def test_a_database_of_version_3_shows_the_measurements_it_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(methods=("od", "scratch"), seeds=(1, 2))
    now = boards.write_store(tmp_path / "now.duckdb", board)
    with monkeypatch.context() as then:
        then.setattr(tables, "arch_key", _four_fields)
        old = boards.write_store(tmp_path / "old.duckdb", board)
        with duckdb.connect(str(old.path)) as con:
            con.execute("DELETE FROM harness_schema WHERE version > 3")
            con.execute("ALTER TABLE progress DROP COLUMN clipped")
            con.execute("DROP TABLE layer_pairs; DROP TABLE transfers; DROP TABLE rarity")
            con.execute("ALTER TABLE trials DROP COLUMN encoder_key")
    keys = "SELECT trial_id, arch_key FROM {} ORDER BY ALL"
    with duckdb.connect(str(old.path)) as con:
        before = con.execute(keys.format("trials")).df()
    after = old.frame(keys.format("trials"))
    assert (before["arch_key"] != after["arch_key"]).any()
    for table in ("trials", "measurements"):
        assert old.frame(keys.format(table)).to_json() == now.frame(keys.format(table)).to_json()
    shown = [read_board(store).measures().sort_index() for store in (old, now)]
    pd.testing.assert_frame_equal(*shown)
    assert shown[0]["latency_ms"].notna().all()


def _another(student: Student, name: str) -> Student:
    """`student` with another value of one field."""
    others = {"init": "elsewhere", "heads": student.heads // 2, "ffn": 5 * student.width}
    value = getattr(student, name)
    other = others.get(name, value + 1 if isinstance(value, int) else f"{value} of another kind")
    return student.model_copy(update={name: other})


@pytest.mark.parametrize("name", sorted(Student.model_fields))
def test_students_share_measurements_only_where_nothing_that_was_built_differs(name: str) -> None:
    student = ingredients.student_of("3L-192")
    teacher = ingredients.teacher_of("minilm-l6")
    changed = tables.arch_key(teacher, _another(student, name))
    built = (
        name in identity_fields(Student, lambda field: getattr(_another(student, name), field))
        and name != "init"
    )
    assert (changed != tables.arch_key(teacher, student)) == built


def test_a_student_says_its_inner_width_or_leaves_it_out_and_shares_measurements() -> None:
    student = ingredients.student_of("3L-192").model_copy(update={"ffn": None})
    teacher = ingredients.teacher_of("minilm-l6")
    spelled = student.model_copy(update={"ffn": 4 * student.width})
    assert tables.arch_key(teacher, student) == tables.arch_key(teacher, spelled)
