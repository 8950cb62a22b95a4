"""A student ready for use: the model a trial left, checked against its record, with its scores on the card.

Weights, tokenizer and the card's recipe were written when the model was made (`harness.models.export`); here
they are copied, and the card learns what the store knows: scores beside the teacher's, what was measured, and
what stood behind them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from harness.errors import InputError
from harness.files import sha256_of, written_beside
from harness.kinds import KINDS
from harness.ranking.render import text
from harness.records.folder import TrialFolder
from harness.results.store import Store

WEIGHTS = "model.safetensors"
CARD = "README.md"
MAKERS = {"distil": "student", "prepare": "prepared teacher"}
"""Kinds of trial that make a model -> what they make."""

SCORES = """
    SELECT s.suite, s.task, s.language, s.split, s.metric, t.protocol,
           CASE WHEN count(s.value) = count(*) THEN avg(s.value) END AS value,
           min(s.n) AS rows, count(DISTINCT t.finetune_seed) AS seeds, any_value(t.learning_rate) AS learning_rate,
           any_value(t.epochs) AS epochs, any_value(t.config ->> '$.task.type') AS type,
           list_distinct(flatten(list(s.flags))) AS flags
    FROM scores s JOIN evaluations t USING (trial_id)
    WHERE t.model_key = ? AND s.reported AND s.selected AND t.status = 'ok'
    GROUP BY s.suite, s.task, s.language, s.split, s.metric, t.protocol
    ORDER BY ALL
"""
"""Reported scores of one model at the settings that dev scores chose, means over fine-tuning seeds."""

MEASURED = """
    SELECT m.metric, m.value, m.unit, m.protocol, m.device
    FROM measurements m JOIN trials t USING (trial_id)
    WHERE m.valid AND (m.model_key = $model OR (m.model_key IS NULL AND m.arch_key = $arch))
    QUALIFY row_number() OVER (PARTITION BY m.metric, m.protocol, m.fingerprint ORDER BY t.finished_at DESC) = 1
    ORDER BY ALL
"""


@dataclass(frozen=True)
class Model:
    """A model that a trial made, as the store names it."""

    trial_id: str
    milestone: int | None
    row: dict[str, Any]
    """The trial's row of `trials`."""

    @property
    def key(self) -> str:
        """As `harness.results.tables.model_key` names it."""
        return self.trial_id if self.milestone is None else f"{self.trial_id}@{self.milestone}"


def export_student(store: Store, runs_dir: Path, named: str, out: Path) -> str:
    """Write the model that `named` names into the new folder `out`; the trial's whole id.

    `named` is as `find_model` reads it. InputError where it names no model; where its weights are not here, or
    not those that were recorded; and where `out` exists.
    """
    if out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    model = find_model(store, named)
    source, sha256 = weights_of(runs_dir, model)
    with written_beside(out) as written:
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.is_symlink():
                shutil.copyfile(path, written / path.name)
        card = (source / CARD).read_text(encoding="utf-8")
        (written / CARD).write_text(card_with_results(card, store, model, sha256), encoding="utf-8")
    return model.key


def find_model(store: Store, named: str) -> Model:
    """The model of one trial that ended well. `named` is the trial's id or how it begins, or what people call the
    student: `METHOD/STUDENT` for the best of its seeds by dev scores, `METHOD/STUDENT/SEED` for one of them; with
    `@STEP` an intermediate student."""
    prefix, at, step = named.partition("@")
    if at and not step.isdecimal():
        raise InputError(f"{named!r}: the part after @ must be a step, e.g. {prefix}@1000")
    trial_id = _best_of(store, prefix) if "/" in prefix else store.find_trial(prefix)
    (records,) = store.frame("SELECT * FROM trials WHERE trial_id = ?", [trial_id]).to_dict("records")
    row = {str(name): value for name, value in records.items()}
    if row["kind"] not in MAKERS:
        parents = row["parents"]
        hint = f"; it read the model of {parents[0]}" if len(parents) else ""
        raise InputError(f"trial {trial_id} is a {row['kind']} trial, which exports no model{hint}")
    if row["status"] != "ok":
        raise InputError(f"trial {trial_id} is {row['status']} and has left no model")
    milestone = int(step) if at else None
    known = json.loads(row["config"])["recipe"].get("milestones", [])
    if milestone is not None and milestone not in known:
        had = f"has intermediate students at {', '.join(map(str, known))}" if known else "has none"
        raise InputError(f"trial {trial_id} has no intermediate student at step {milestone}; it {had}")
    return Model(trial_id, milestone, row)


NAMED = """
    SELECT t.trial_id, t.language, t.teacher, t.distil_seed, t.status = 'ok' AS ok, avg(c.dev_value) AS dev
    FROM trials t LEFT JOIN cells c ON c.model_key = t.trial_id
    WHERE t.kind = 'distil' AND t.method = ? AND t.student = ?
    GROUP BY ALL ORDER BY ok DESC, dev DESC NULLS LAST, t.distil_seed, t.trial_id
"""


def _best_of(store: Store, named: str) -> str:
    """The trial that made METHOD/STUDENT or METHOD/STUDENT/SEED; of several the one with the highest mean dev score."""
    method, student, *seed = named.split("/")
    if len(seed) > 1 or (seed and not seed[0].isdecimal()):
        raise InputError(
            f"{named!r}: name a student as METHOD/STUDENT or METHOD/STUDENT/SEED, e.g. minilmv2/3l-192/1"
        )
    rows = store.frame(NAMED, [method, student])
    if seed:
        rows = rows[rows["distil_seed"] == int(seed[0])]
    if rows.empty:
        known = store.frame(
            "SELECT DISTINCT method || '/' || student AS name FROM trials WHERE kind = 'distil' ORDER BY 1"
        )
        raise InputError(f"no student {named!r}; there are: {', '.join(known['name']) or 'none'}")
    settings = rows[["teacher", "language"]].drop_duplicates()
    if len(settings) > 1:
        several = " and ".join(f"{row.teacher} in {row.language}" for row in settings.itertuples())
        raise InputError(
            f"{named!r} names students of {several}: name one by its trial's id (`harness report --ids`)"
        )
    return str(rows["trial_id"].iloc[0])


def weights_of(runs_dir: Path, model: Model) -> tuple[Path, str]:
    """The folder of a model and the SHA-256 of its weights. InputError where they are not here, or not those that were
    recorded."""
    folder = TrialFolder.of(runs_dir, model.trial_id)
    source = folder.model if model.milestone is None else folder.milestone(model.milestone)
    return source, _checked_weights(source, model)


def _checked_weights(source: Path, model: Model) -> str:
    """SHA-256 of the weights in the folder `made`, once they are what the trial recorded."""
    for name in (WEIGHTS, CARD):
        if not (source / name).is_file():
            why = (
                f"it came in a bundle ({model.row['origin']}), and bundles carry no weights"
                if text.known(model.row["origin"])
                else "removed by `harness gc --weights`, or made elsewhere; distil it again in a --runs-dir of its own"
            )
            raise InputError(f"trial {model.trial_id}: {source / name} is not here: {why}")
    sha256 = sha256_of(source / WEIGHTS)
    if model.milestone is None and sha256 != model.row["weights_sha256"]:
        raise InputError(
            f"trial {model.trial_id}: {source / WEIGHTS} is not what the trial recorded: SHA-256 {sha256[:12]}…, "
            f"recorded {str(model.row['weights_sha256'])[:12]}…"
        )
    return sha256


def card_with_results(card: str, store: Store, model: Model, sha256: str) -> str:
    """The card of a model as it was made, with its scores and measurements: as sections for readers, scores
    in the header, too (`model-index`), for programs.
    """
    from huggingface_hub import ModelCard

    with store.read() as con:
        scores = _scores(con, model)
        measured = con.execute(MEASURED, {"model": model.key, "arch": model.row["arch_key"]}).df()
    read = ModelCard(card)
    before, heading, after = read.text.partition("## Recipe")
    read.text = before + "\n".join([*_score_lines(scores), *_measured_lines(measured), heading]) + after
    before, heading, after = read.text.partition("## Citation")
    read.text = before + "\n".join([*_record_lines(model, sha256), heading]) + after
    if len(scores):
        data: Any = read.data
        data.model_name = str(model.row["title"]).partition(" ")[2] or model.key
        data.eval_results = _eval_results(scores)
    return str(read)


def _scores(con: duckdb.DuckDBPyConnection, model: Model) -> pd.DataFrame:
    """`SCORES` of the model, with its teacher's value of each beside it."""
    own = con.execute(SCORES, [model.key]).df()
    teachers = con.execute(SCORES, [model.row["teacher_key"]]).df()
    keys = ["suite", "task", "language", "split", "metric", "protocol"]
    return own.merge(teachers[[*keys, "value"]], on=keys, how="left", suffixes=("", "_of_teacher"))


def _eval_results(scores: pd.DataFrame) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=KINDS[row.type].hub_task,
            dataset_type=row.task,
            dataset_name=f"{row.suite} {row.task}",
            dataset_config=row.language,
            dataset_split=row.split,
            metric_type=row.metric,
            metric_value=round(float(row.value), 6),
        )
        for row in _each(scores[scores["value"].notna()])
    ]


def _score_lines(scores: pd.DataFrame) -> list[str]:
    if scores.empty:
        return ["## Scores", "", "This model has not been evaluated.", ""]
    several = scores["protocol"].nunique() > scores["task"].nunique()
    heads = [
        "task",
        "language",
        "split",
        "metric",
        "score",
        "its teacher",
        "rows",
        "fine-tuned with",
        "seeds",
    ]
    lines = [_row(heads + ["protocol"] * several), _row(["---"] * (len(heads) + several))]
    for row in _each(scores):
        setting = KINDS[row.type].setting(row.learning_rate, row.epochs)
        cells = [
            f"{row.suite} {row.task}" if row.suite != row.task else row.task, row.language, row.split, row.metric,
            text.points(row.value), text.points(row.value_of_teacher), row.rows, setting, row.seeds,
        ]  # fmt: skip
        lines.append(_row(cells + [row.protocol] * several))
    flags = sorted({str(flag) for row_flags in scores["flags"] for flag in row_flags})
    note = (
        "In points (hundredths), means over fine-tuning seeds; learning rate and epochs were chosen on dev "
        "scores."
    )
    return [
        "## Scores",
        "",
        *lines,
        "",
        note + (f" Flags: {', '.join(flags)}." if flags else ""),
        "",
    ]


def _measured_lines(measured: pd.DataFrame) -> list[str]:
    if measured.empty:
        return []
    lines = [_row(["measure", "value", "protocol", "hardware"]), _row(["---"] * 4)]
    for row in _each(measured):
        exact = row.unit in ("parameters", "FLOPs")
        value = f"{row.value:,.0f}" if exact else f"{row.value:,.4g}"
        counted = row.protocol == "counted"
        cells = [
            row.metric.replace("_", " "),
            f"{value} {row.unit}",
            row.protocol,
            "any" if counted else row.device,
        ]
        lines.append(_row(cells))
    return ["## Measurements", "", *lines, ""]


def _record_lines(model: Model, sha256: str) -> list[str]:
    """What the trial's record says stood behind the weights."""
    behind = json.loads(model.row["provenance"])
    commit = f" ({behind['commit'][:12]})" if behind.get("commit") else ""
    facts = {
        "weights (SHA-256)": sha256,
        "made by": f"distil-harness {behind['harness']}{commit}",
        "on": f"{behind['device']}, {behind['precision']}",
        "with": ", ".join(f"{name} {version}" for name, version in sorted(behind["versions"].items())),
        "configuration": model.row["config_id"],
        "origin": model.row["origin"],
    }
    shown = [_row([name, value]) for name, value in facts.items() if text.known(value)]
    return ["### Record", "", _row(["", ""]), _row(["---"] * 2), *shown, ""]


def _row(cells: list[Any]) -> str:
    """One line of a Markdown table; no cell can end it."""
    shown = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _each(frame: pd.DataFrame) -> Iterator[Any]:
    """Its rows, whose columns the queries above fix."""
    return iter(frame.itertuples())
