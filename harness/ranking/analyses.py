"""What recorded analyses say of methods: their students' layers beside the teacher's, and losses by each other's
objectives. Means over students, with their number; nothing here is tested, and every sentence says so."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.counted import counted
from harness.ranking.board import Board
from harness.ranking.cells.selected import without
from harness.ranking.cells.strata import described, differing_aspects, prepared_or_shipped
from harness.ranking.render.text import students_in_words
from harness.results.store import Store

MEASURES = {
    "cka": "similarity of hidden states (linear CKA)",
    "qq": "divergence of query relations",
    "kk": "divergence of key relations",
    "vv": "divergence of value relations",
}
ADD = (
    "Add `analyse: {enabled: true}` to the spec and run it again; recorded students are not distilled again."
)

_OF = """
    SELECT t.trial_id, t.model_key, t.config_id, t.method, t.student, t.teacher, t.language, t.distil_seed, {columns}
    FROM trials t JOIN {table} a USING (trial_id)
    WHERE t.kind = 'analyse' AND t.status = 'ok' ORDER BY ALL
"""


@dataclass(frozen=True)
class AnalysedGroup:
    """Analyses of students that may be compared: of one stratum."""

    layers: pd.DataFrame
    """label, trial_id, measure, student_layer, teacher_layer, value"""
    transfers: pd.DataFrame
    """label, method, trial_id, objective, loss, missing"""

    def maps(self, measure: str) -> pd.DataFrame:
        """label, student_layer, teacher_layer, value, n: means over students."""
        rows = self.layers[self.layers["measure"] == measure].dropna(subset="value")
        keys = ["label", "student_layer", "teacher_layer"]
        return rows.groupby(keys, as_index=False).agg(value=("value", "mean"), n=("value", "size"))

    def closest(self, measure: str) -> pd.DataFrame:
        """label, mean, low, high, n over students of one number each: the mean over student layers, without the
        embeddings, of the value at the teacher layer that is closest; the closest method first."""
        rows = self.layers[
            (self.layers["measure"] == measure)
            & (self.layers["student_layer"] > 0)
            & (self.layers["teacher_layer"] > 0)
        ].dropna(subset="value")
        best = rows.groupby(["label", "trial_id", "student_layer"])["value"].agg(_best(measure))
        each = best.groupby(["label", "trial_id"]).mean().groupby("label").agg(["mean", "min", "max", "size"])
        each.columns = pd.Index(["mean", "low", "high", "n"])
        return each.reset_index().sort_values(
            ["mean", "label"], ascending=[measure != "cka", True], ignore_index=True
        )

    def layers_sentence(self, measure: str) -> str:
        """Which method's students are closest to the teacher, or that single students overlap."""
        order = self.closest(measure)
        what = MEASURES[measure]
        if len(order) < 2:
            return f"Only one method has been analysed: {what} cannot be compared."
        first = order.iloc[0]
        shown = order.iloc[sorted({0, 1, len(order) - 1})]
        figures = ", ".join(f"{row.label} {row.mean:.3g} (n = {row.n})" for row in shown.itertuples())
        others = order.iloc[1:]
        apart = (
            first["low"] > others["high"].max() if measure == "cka" else first["high"] < others["low"].min()
        )
        best = f"{what} is {'highest' if measure == 'cka' else 'lowest'} with {first['label']}"
        if order["n"].min() < 2:
            return f"Undecided, for want of seeds: {best} ({figures}; not tested)."
        if not apart:
            return f"Undecided, since single students overlap: {best} ({figures}; not tested)."
        return (
            f"Every analysed student of {first['label']} is closer to the teacher than any of another method: {what} "
            f"{figures}. This is a count of these students, not a test: another seed may lie elsewhere."
        )

    def matrix(self) -> pd.DataFrame:
        """label, method, objective, loss, n, missing: means over students; loss NaN where it cannot be measured."""
        keys = ["label", "method", "objective"]
        return self.transfers.groupby(keys, as_index=False, dropna=False).agg(
            loss=("loss", "mean"), n=("loss", "count"), missing=("missing", "max")
        )

    def transfer_sentence(self) -> str:
        """Whose students have the lowest loss by how many objectives, and by their own."""
        known = self.matrix().dropna(subset="loss")
        compared = [rows for _, rows in known.groupby("objective") if len(rows) > 1]
        if not compared:
            return "No objective was measured on students of several methods."
        lowest = [rows.iloc[int(rows["loss"].argmin())] for rows in compared]
        wins = pd.Series([row["label"] for row in lowest]).value_counts()
        most = sorted(str(name) for name, count in wins.items() if count == wins.max())
        own = sum(row["method"] == row["objective"] for row in lowest)
        objectives = counted(len(compared), "objective")
        each = " each" if len(most) > 1 else ""
        return (
            f"By {wins.max()} of {objectives}{each} the lowest mean loss is that of the students of "
            f"{' and of '.join(most)}; {own} of {objectives} {'is' if own == 1 else 'are'} lowest on students of the "
            "objective's own method "
            f"({students_in_words(known['n'])}; not tested, so another seed may give another order)."
        )


def _best(measure: str) -> str:
    return "max" if measure == "cka" else "min"


def analysed_groups(store: Store, board: Board) -> dict[str, AnalysedGroup]:
    """Name -> analyses, for every stratum that has any; the one with most students first. Settings that a selection by
    dev scores dropped take no part. `board` is what `store` holds."""
    pairs = "a.measure, a.student_layer, a.teacher_layer, a.value"
    layers = _placed(store.frame(_OF.format(table="layer_pairs", columns=pairs)), board)
    transfers = _placed(
        store.frame(_OF.format(table="transfers", columns="a.objective, a.loss, a.missing")), board
    )
    sizes = layers.groupby("stratum")["trial_id"].nunique().sort_values(ascending=False, kind="stable")
    names = _names(layers.drop_duplicates("stratum").set_index("stratum").loc[sizes.index], board)
    return {
        name: AnalysedGroup(*(_labelled(frame[frame["stratum"] == stratum]) for frame in (layers, transfers)))
        for stratum, name in names.items()
    }


def _placed(rows: pd.DataFrame, board: Board) -> pd.DataFrame:
    """With the row and stratum of each student."""
    row_ids = rows["model_key"].map(board.frames.models["row_id"])
    placed = without(rows.assign(row_id=row_ids), board.selected())
    return placed.assign(stratum=placed["row_id"].map(board.frames.strata["stratum"])).dropna(
        subset="stratum"
    )


def _names(first: pd.DataFrame, board: Board) -> dict[str, str]:
    """Stratum -> what its students share; with the start of its digest where words do not tell it apart. `first`: a
    row of each stratum."""
    apart = set(differing_aspects(board.frames.strata.loc[first["row_id"]]))
    names = {str(stratum): _name(row, apart, board) for stratum, row in first.iterrows()}
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {stratum: f"{name} [{stratum[:4]}]" if name in shared else name for stratum, name in names.items()}


def _name(row: pd.Series, apart: set[str], board: Board) -> str:
    """`3L-192 from minilm-l6, en`, and what else sets a stratum apart."""
    settings = board.frames.settings[row["row_id"]]
    how = f" {prepared_or_shipped(settings)}" if "teacher" in apart else ""
    more = described(row, apart - {"student", "teacher", "corpus", "milestone"}, settings)
    return f"{row['student']} from {row['teacher']}{how}, {row['language']} {more}".rstrip()


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Named by method; where a method has several rows, the start of their ids tells them apart."""
    several = rows.groupby("method")["row_id"].transform("nunique") > 1
    ids = " · " + rows["row_id"].astype(str).str[:6]
    return rows.assign(label=rows["method"].astype(str) + ids.where(several, ""))
