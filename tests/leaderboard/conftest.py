"""Databases of every shape that a page must make something useful of."""

from __future__ import annotations

from pathlib import Path

import pytest
from results.boards import Board, write_folders, write_store
from results.ingredients import GLUE, QUICK, WORDS, XNLI

from harness.results.store import Store
from harness.spec.languages import XNLI15

SHAPES = (
    "missing",
    "empty",
    "damaged",
    "planned",
    "single-row",
    "single-seed",
    "one-language",
    "partly-failed",
    "full",
)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> path; synthetic boards."""
    root = tmp_path_factory.mktemp("databases")
    paths = {name: root / name / "results.duckdb" for name in SHAPES}
    Store(paths["empty"]).plan([])
    paths["damaged"].parent.mkdir()
    paths["damaged"].write_bytes(b"this is no database")
    single = Board(
        methods=("minilmv2",),
        students=("3L-192",),
        seeds=(1,),
        tasks=QUICK[:1],
        prepared=False,
        measured=False,
    )
    write_store(paths["single-row"], single)
    Store(paths["planned"]).plan([])
    _only_running(paths["planned"])
    write_store(paths["single-seed"], Board(seeds=(1,)))
    write_store(paths["one-language"], Board(tasks=QUICK))
    failed = Board(tasks=GLUE, fail={"hs-uniform": "nan"}, gaps={"od": "rte"}, running=("minilmv2",))
    write_folders(paths["partly-failed"].parent, failed)
    Store(paths["partly-failed"]).ingest()
    methods = ("scratch", "od", "hs-last", "hs-uniform", "hs-emd", "minilmv2", "tinybert")
    write_store(
        paths["full"],
        Board(methods=methods, tasks=GLUE + WORDS, distil_rates=(3e-4, 6e-4)),
        Board(methods=("od", "minilmv2"), students=("4L-312",), tasks=GLUE, milestones=(250, 500, 1000)),
        Board(methods=methods, tasks=XNLI, students=("6L-384",), languages=XNLI15, teacher="xlm-r"),
    )
    return paths


def _only_running(path: Path) -> None:
    """Trials under way and none with a result."""
    from results.boards import entries

    store = Store(path)
    trials = [trial for trial, _, _ in entries(Board(methods=("od",), students=("3L-192",), tasks=QUICK[:1]))]
    store.plan(trials)
    store.record(next(trial for trial in trials if trial.kind == "distil"))
