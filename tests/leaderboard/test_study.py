"""The study's page says what the board holds, and no more."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results.boards import Board, write_folders, write_store
from results.ingredients import GLUE, QUICK, XNLI
from scipy import stats

from harness.errors import InputError
from harness.ranking.board import read_board
from harness.results.bundle import bundle, trials_of_seed
from harness.results.shipped_board import ShippedBoard
from leaderboard.study import __main__ as command
from leaderboard.study.blocks import MISSING, README_ROWS, blocks, readme_blocks
from leaderboard.study.claims import claims
from leaderboard.study.evidence import MOST_SEEDS, methods, seeds_needed
from leaderboard.study.parts import PARTS, Part, read_parts

METHODS = ("scratch", "od", "hs-last", "hs-uniform", "hs-uniform-consecutive", "minilmv2", "direct-minilm")
ENGLISH = Board(
    methods=METHODS,
    students=("3L-192",),
    seeds=(1, 2, 3),
    tasks=(QUICK[0], GLUE[1]),
    noise=0.003,
    rows=100,
    milestones=(500,),
    measured=False,
)
MANY = Board(
    methods=METHODS[1:],
    students=("6L-384",),
    seeds=(1,),
    tasks=(replace(XNLI[0], languages=("en", "de")),),
    rows=60,
    measured=False,
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Part]:
    """A board of made-up results: five seeds in English, one in fifteen languages."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "board").mkdir()
    for name, board in (("english", ENGLISH), ("multilingual", MANY)):
        write_folders(folder / name, board, predictions=True)
        for seed in board.seeds:
            trials = trials_of_seed(folder / name, seed)
            bundle(folder / name, folder / "board" / f"{name}-seed-{seed}.zip", trials=trials, compact=True)
    return read_parts(folder / "cache", folder / "board")


def test_every_part_has_its_blocks_and_pictures(parts: dict[str, Part], tmp_path: Path) -> None:
    made = blocks(parts, tmp_path)
    assert set(made) == {"state", "claims", "hours", "why", *PARTS}
    assert made["teacher-layers"] == made["tokens"] == made["why"] == MISSING
    best = parts["english"].ranking("NLI").ranked.iloc[0]
    of_suite = made["english"].partition("#### NLI")[2]
    first_row = next(line for line in of_suite.splitlines() if line.startswith("| 1"))
    assert str(best["method"]) in first_row
    assert f"{100 * best['mean']:.1f} ±" in first_row
    for line in made["english"].splitlines():
        if line.startswith("<picture>"):
            files = re.findall(r'(?:src|srcset)="([^"]+)"', line)
            assert [(tmp_path / name).read_text()[:4] for name in files] == ["<svg", "<svg"]
    assert (
        sum(line.startswith("<picture>") for line in made["english"].splitlines()) == 4
    )  # forests, and tokens


def test_the_readme_shows_every_suite_in_short(parts: dict[str, Part], tmp_path: Path) -> None:
    blocks(parts, tmp_path / "docs")
    board = readme_blocks(parts)["board"]
    suites = parts["english"].board.suites()
    assert len(suites) > 1
    files = re.findall(r'(?:src|srcset)="([^"]+)"', board)
    assert len(set(files)) == 2 * len(suites)
    assert all((tmp_path / name).is_file() for name in files)
    rows = [line for line in board.splitlines() if line.startswith("|")]
    for suite in suites:
        ranking = parts["english"].ranking(suite)
        shown = min(README_ROWS, len(ranking.ranked)) + len(ranking.references)
        table, rows = rows[: shown + 2], rows[shown + 2 :]
        assert all(text.startswith("|") for text in table)
        assert str(ranking.ranked["method"].iloc[0]) in table[2]
        assert f"on {suite}" in board
    assert rows == []
    assert "trials on" in board


def test_verdicts_follow_the_intervals(parts: dict[str, Part]) -> None:
    by_text = {claim.text: claim for claim in claims(parts)}
    evidence = by_text["Both MHA methods outperform HS."].evidence
    assert {one.verdict for one in evidence if one.where.startswith("English")} >= {"for"}
    several = [one for one in evidence if one.where.startswith("fifteen")]
    assert several
    assert {one.verdict for one in several} == {"undecided"}  # one seed decides nothing
    assert all("before there are two" in one.needed for one in several)
    for claim in by_text.values():
        for one in claim.evidence:
            assert (one.needed == "") == (one.verdict != "undecided")
            assert ("is ahead of" in one.sentence) <= (one.verdict != "undecided")


def test_methods_are_compared_within_one_setting_unless_the_claim_is_of_settings(tmp_path: Path) -> None:
    short = replace(ENGLISH, methods=("od", "hs-uniform"), milestones=())
    store = write_store(
        tmp_path / "results.duckdb", short, replace(short, methods=("minilmv2",), steps=200_000)
    )
    part = Part("english", ShippedBoard(store, ()), read_board(store))
    pairs = [("minilmv2", "od"), ("hs-uniform", "od")]
    told = [one.sentence for suite in part.suites for one in methods(part, suite, pairs)]
    assert told
    assert not any("minilmv2" in one for one in told)
    across = [one.sentence for suite in part.suites for one in methods(part, suite, pairs, ("steps",))]
    assert any("minilmv2" in one and "steps" in one for one in across)


def test_an_empty_board_says_so(tmp_path: Path) -> None:
    made = blocks(read_parts(tmp_path / "cache", tmp_path), tmp_path)
    assert {made[name] for name in PARTS} == {MISSING}
    assert "Nothing has been measured yet" in made["state"]


def test_the_document_has_a_place_for_every_block_and_is_up_to_date(tmp_path: Path) -> None:
    parts = read_parts(tmp_path / "cache")
    readme = (command.DOCS.parent / "README.md").read_text("utf-8")
    assert command.filled(readme, readme_blocks(parts)) == readme
    document = (command.DOCS / "study.md").read_text("utf-8")
    made = blocks(parts, tmp_path)
    assert command.filled(document, made) == document
    drawn = {path.name for path in (tmp_path / "study").glob("*.svg")}
    assert drawn == {path.name for path in (command.DOCS / "study").glob("*.svg")}
    with pytest.raises(InputError, match="blocks of the document"):
        command.filled(document, {**made, "more": ""})


@settings(max_examples=50, deadline=None)
@given(st.floats(0.001, 0.2), st.floats(0.0005, 0.05), st.integers(2, 8), st.booleans(), st.integers(1, 50))
def test_so_many_seeds_would_tell_and_one_fewer_would_not(
    gap: float, std: float, seeds: int, paired: bool, questions: int
) -> None:
    def half_width(n: int) -> float:
        degrees = n - 1 if paired else 2 * n - 2
        return float(stats.t.ppf(1 - 0.025 / questions, degrees) * np.sqrt(std**2 / n))

    needed = seeds_needed(gap, half_width(seeds), seeds, paired, questions)
    assert needed is not None
    assert needed > seeds  # those there are have not told
    if needed <= MOST_SEEDS:
        assert half_width(needed) < gap * 1.000001
    if needed > seeds + 1:
        assert half_width(needed - 1) >= gap * 0.999999
    assert seeds_needed(gap, float("nan"), seeds, paired) is None
    assert seeds_needed(gap, std, 1, paired) is None
