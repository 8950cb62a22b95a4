"""How often a board of equal methods claims a lead, from records to sentence: `python -m benchmarks.headlines [--boards N]`.

Where `benchmarks.claims` simulates scores in arrays, each board here is a database of trials with scores, read and
judged as the pages and `harness report` read and judge it: slow (a third of a second a board), and nothing is left out.
One method each of OD, HS and MHA; candidates of a family differ in their learning rate. Printed with its standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.ranking.board import Board, read_board
from tests.results import boards as synthetic

METHODS = ("od", "hs-uniform", "minilmv2")
CLAIMS = ("a sentence on two families", "a row definitely above another")


def claims(board: Board) -> tuple[bool, bool]:
    """Whether a board claims a lead, in each of `CLAIMS`."""
    compared = [answer.comparison for answer in board.answers()]
    if len(compared) != len(METHODS):
        raise ValueError(f"a board with {len(compared)} sentences, not {len(METHODS)}")
    lead = any(found.low > 0 or found.high < 0 for found in compared)
    ranks = board.ranking().ranked
    return lead, bool((ranks["worst_rank"] < len(ranks)).any())


def simulated(path: Path, number: int, candidates: int, seeds: int) -> Board:
    """The board of this number: no two have a student in common."""
    shape = synthetic.Board(
        methods=METHODS,
        students=("6L-384",),
        seeds=range(number * seeds, (number + 1) * seeds),
        distil_rates=[1e-4 * (1 + rate) for rate in range(candidates)],
        equal=True,
    )
    store = synthetic.write_store(path, shape)
    board = read_board(store)
    path.unlink()
    return board


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boards", type=int, default=1000, help="simulated boards (default: 1,000)")
    parser.add_argument("--candidates", type=int, default=1, help="configurations a family (default: 1)")
    parser.add_argument("--seeds", type=int, default=10, help="students a configuration (default: 10)")
    given = parser.parse_args()
    found: list[tuple[bool, bool]] = []
    with TemporaryDirectory() as folder:
        for number in range(given.boards):
            board = simulated(Path(folder) / "board.duckdb", number, given.candidates, given.seeds)
            found.append(claims(board))
            if len(found) % 100 == 0 or len(found) == given.boards:
                print(f"{given.candidates} candidates a family, {given.seeds} seeds, {len(found):,} boards")
                print(*_rates(found), sep="\n", flush=True)


def _rates(found: Sequence[tuple[bool, bool]]) -> Iterator[str]:
    """A line for each of `CLAIMS`."""
    for name, called in zip(CLAIMS, zip(*found, strict=True), strict=True):
        rate = sum(called) / len(called)
        error = (rate * (1 - rate) / len(called)) ** 0.5
        yield f"  {name}: {sum(called)} boards, {100 * rate:.1f} % (standard error {100 * error:.1f})"


if __name__ == "__main__":
    main()
