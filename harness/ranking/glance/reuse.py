"""From a row of a ranking to its students: the trials that made them, and the command that gives one of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.table import Ranking
from harness.ranking.student import WEIGHTS
from harness.records.folder import TrialFolder
from harness.results.store import DEFAULT, Store
from harness.spec.catalog import shipped_spec_files


@dataclass(frozen=True)
class WayToUse:
    """How to get one student."""

    command: str
    note: str
    """What the command does, and why not less will do."""


def students_of(ranking: Ranking, row: str) -> pd.DataFrame:
    """The models of a row that were scored, by seed: model_key, distil_seed, score (mean over tasks, NaN where one is
    missing), dev (mean dev score over the tasks there are)."""
    mine = ranking.students[ranking.students["config_id"] == row]
    if mine.empty:
        return pd.DataFrame(columns=["model_key", "distil_seed", "score", "dev"])
    keys = mine.groupby("distil_seed").agg(model_key=("model_key", "first"), dev=("dev_value", "mean"))
    scores = statistics.student_scores(mine, ranking.tasks).set_index("distil_seed")["score"]
    return keys.join(scores).reset_index().sort_values("distil_seed", ignore_index=True)


def best_by_dev(students: pd.DataFrame) -> pd.Series:
    """Of `students_of`, the one to take: the highest dev score of those with every task, else of all; the reported scores
    choose nothing."""
    whole = students["score"].notna()
    order = students[whole if whole.any() else ~whole].sort_values(
        ["dev", "distil_seed"], ascending=[False, True], na_position="last"
    )
    return order.iloc[0]


def how_to_use(store: Store, model_key: str) -> WayToUse:
    """The command for the student that a trial made: export it, or make it anew where its weights are not here."""
    trial_id, _, step = str(model_key).partition("@")
    found = store.frame(
        "SELECT spec, method, student, distil_seed FROM trials WHERE trial_id = ?", [trial_id]
    )
    if found.empty:
        return WayToUse(f"harness show {trial_id}", "Its trial is not in this database.")
    made = found.iloc[0]
    export = _export(store, model_key, f"{made['method']}-{made['student']}")
    folder = TrialFolder.of(store.runs_dir, trial_id)
    if ((folder.milestone(int(step)) if step else folder.model) / WEIGHTS).is_file():
        return WayToUse(export, "Writes a folder that `from_pretrained` loads, with a model card.")
    return WayToUse(
        f"{_run(made)}\n{export.partition(' --runs-dir')[0]}",
        "Its weights are not here (bundles carry none): the first command makes it anew under the same id.",
    )


def _export(store: Store, model_key: str, name: str) -> str:
    words = ["harness", "export", "--model", str(model_key), "--out", name.lower()]
    if store.runs_dir != DEFAULT.parent:
        words += ["--runs-dir", str(store.runs_dir)]
    if store.path != store.runs_dir / DEFAULT.name:
        words += ["--db", str(store.path)]
    return shlex.join(words)


def _run(made: pd.Series) -> str:
    """The spec of a student, narrowed to it."""
    spec = str(made["spec"]) if made["spec"] in shipped_spec_files() else f"{made['spec'] or 'SPEC'}.yaml"
    narrowed = {
        "method": made["method"],
        "student": made["student"],
        "seed": f"{made['distil_seed']:.0f}",
    }
    settings = [shlex.join(["--set", f"grid.{axis}=[{value}]"]) for axis, value in narrowed.items()]
    return " \\\n  ".join([shlex.join(["harness", "run", spec]), *settings])
