"""What recorded analyses say of methods: their students' layers beside the teacher's, and losses by each other's
objectives. Means over students, with their number."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.results.store import Store

GROUP = ["student", "teacher", "language"]
"""Students that may be compared: of one shape and teacher, distilled on the same languages."""
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
    SELECT t.trial_id, t.config_id, t.method, t.student, t.teacher, t.language, t.distil_seed, {columns}
    FROM trials t JOIN {table} a USING (trial_id)
    WHERE t.kind = 'analyse' AND t.status = 'ok' ORDER BY ALL
"""


@dataclass(frozen=True)
class AnalysedGroup:
    """Analyses of students that may be compared."""

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
        """Which method's students are closest to the teacher, or that it cannot be told."""
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
        best = "highest" if measure == "cka" else "lowest"
        if order["n"].min() < 2:
            return f"Undecided, for want of seeds: {what} is {best} with {first['label']} ({figures})."
        if not apart:
            return f"Undecided, since single students overlap: {what} is {best} with {first['label']} ({figures})."
        return f"Every student of {first['label']} is closer to the teacher than any of another method: {what} {figures}."

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
        most = [str(name) for name, count in wins.items() if count == wins.max()]
        own = sum(row["method"] == row["objective"] for row in lowest)
        n = int(known["n"].min())
        whose = f"students of {' and of '.join(sorted(most))}"
        return (
            f"By {wins.max()} of {len(compared)} objectives the lowest mean loss is that of {whose}; "
            f"{own} of {len(compared)} objectives are lowest on the students of their own method "
            f"(n = {n} or more students a method{'; one student decides nothing' if n < 2 else ''})."
        )


def _best(measure: str) -> str:
    return "max" if measure == "cka" else "min"


def analysed_groups(store: Store) -> dict[str, AnalysedGroup]:
    """Name -> analyses, for every group that has any; the group with most students first."""
    pairs = "a.measure, a.student_layer, a.teacher_layer, a.value"
    layers = store.frame(_OF.format(table="layer_pairs", columns=pairs))
    transfers = store.frame(_OF.format(table="transfers", columns="a.objective, a.loss, a.missing"))
    sizes = layers.groupby(GROUP)["trial_id"].nunique().sort_values(ascending=False, kind="stable")
    groups = {}
    for key in sizes.index:
        own, other = (
            _labelled(frame[(frame[GROUP] == list(key)).all(axis=1)]) for frame in (layers, transfers)
        )
        student, teacher, language = key
        groups[f"{student} from {teacher}, {language}"] = AnalysedGroup(own, other)
    return groups


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Named by method; where a method has several configurations, the start of their ids tells them apart."""
    several = rows.groupby("method")["config_id"].transform("nunique") > 1
    ids = " · " + rows["config_id"].astype(str).str[:6]
    return rows.assign(label=rows["method"].astype(str) + ids.where(several, ""))
