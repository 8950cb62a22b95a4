"""From a row of a ranking to its students: the trials that made them, and the command that gives one of them."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.table import Ranking
from harness.ranking.student import WEIGHTS
from harness.records.folder import TrialFolder
from harness.results.store import DEFAULT, Store
from harness.spec.catalog import shipped_spec_files
from harness.spec.languages import LANGUAGE_SETS
from harness.spec.recipes import Distil

NARROWED = {"method", "student", "seed"}
"""Axes that every command names; the others where students of one spec differ on them."""
OF_TEACHERS = {"teacher": "teacher", "language": "language"}
"""Label of a prepared teacher -> axis of the grid."""
AXES = {name: name for name in ("method", "student", "seed", "init")} | OF_TEACHERS
"""Label of a student -> axis of the grid."""
RECIPE = {
    "distil_learning_rate" if field == "learning_rate" else field: f"distil.{field}"
    for field in Distil.model_fields
    if field != "milestones"
}
"""Label of a student that learns -> axis of the grid, of those whose points are words or numbers."""
PLACE = """
    SELECT other.trial_id, other.labels, kind, made.spec, made.learns
    FROM trials other JOIN (
        SELECT kind, spec, coalesce(config ->> '$.method.objective', '[]') <> '[]' AS learns FROM trials WHERE trial_id = ?
    ) made USING (kind)
    WHERE other.spec IS NOT DISTINCT FROM made.spec ORDER BY 1
"""
"""The models that one spec made in the way that this one was made."""


@dataclass(frozen=True)
class WayToUse:
    """How to get one model."""

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
    """The command for the student, or the prepared teacher, that a trial made: export it, or make it anew where its
    weights are not here."""
    trial_id, _, step = str(model_key).partition("@")
    made = _made(store, trial_id)
    if made is None:
        return WayToUse(f"harness show {trial_id}", "Its trial is not in this database.")
    export = _export(store, model_key, made.name)
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


@dataclass(frozen=True)
class _Made:
    """A model's place in the grid of its spec."""

    name: str
    spec: str
    """Name of the spec; empty where it is not known."""
    axes: dict[str, str]
    """Axis of the grid -> the model's point on it."""


def _made(store: Store, trial_id: str) -> _Made | None:
    """Where a recorded model stands; None where its trial is not in this database."""
    found = store.frame(PLACE, [trial_id])
    if found.empty:
        return None
    labels = dict(zip(found["trial_id"], map(json.loads, found["labels"]), strict=True))
    own, kind, spec = labels[trial_id], found["kind"].iloc[0], found["spec"].iloc[0]
    varied = {label for label in own if len({other.get(label) for other in labels.values()}) > 1}
    axes, named = (AXES, NARROWED) if kind == "distil" else (OF_TEACHERS, set())
    if found["learns"].iloc[0]:
        axes = axes | RECIPE
    return _Made(
        f"{own['method']}-{own.get('student', own['teacher'])}",
        "" if pd.isna(spec) else str(spec),
        {axis: own[label] for label, axis in axes.items() if label in varied | named},
    )


def _run(made: _Made) -> str:
    """The spec of a model, narrowed to it."""
    settings = [
        shlex.join(["--set", f"grid.{axis}={_point(axis, name)}"]) for axis, name in made.axes.items()
    ]
    return " \\\n  ".join([f"harness run {spec_to_type(made.spec)}", *settings])


def spec_to_type(name: str | None) -> str:
    """How a spec that a trial names is named to `harness run`: those that ship by name, others by a file of that name;
    `SPEC.yaml` where it is not known."""
    return shlex.quote(name if name in shipped_spec_files() else f"{name or 'SPEC'}.yaml")


def _point(axis: str, name: str) -> str:
    """The axis as YAML, with this point alone. Labels join languages without a name by `+`, and layers by `-`."""
    if axis == "init":
        source, _, layers = name.partition(":")
        if layers[:1].isdigit():
            layers = f"[{layers.replace('-', ', ')}]"
        return f"[{{from: {source}, layers: {layers}}}]" if layers else f"[{{from: {source}}}]"
    one = f"[{name.replace('+', ', ')}]" if axis == "language" and name not in LANGUAGE_SETS else name
    return f"[{one}]"
