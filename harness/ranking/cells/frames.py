"""What the ranking needs of the database, read in one short connection; everything later is a pure function
of these frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from harness.ranking.cells import unscored
from harness.ranking.cells.settings import differing, flattened_all, is_shared
from harness.ranking.cells.strata import prepared_or_shipped, strata_of
from harness.results.store import Store

PRECISIONS = """
    SELECT model_key, CASE WHEN array_to_string(flags, ' ') LIKE '%fp32_after_nan%' THEN 'bf16' ELSE precision END
    FROM trials
    WHERE kind IN ('distil', 'prepare') AND status = 'ok' AND precision IN ('fp32', 'bf16') AND model_key IS NOT NULL
"""
"""Model -> the precision that was resolved for its training; a fallback to fp32 has a flag of its own."""

PLUGINS = """
    SELECT CASE WHEN kind = 'distil' THEN config_id ELSE protocol END, provenance ->> '$.plugins' FROM trials
    WHERE kind IN ('distil', 'finetune') AND status = 'ok' AND (provenance ->> '$.plugins') <> '{}'
"""
"""What shares a row or a column (a configuration, a fine-tuning protocol) -> the packages whose code its trials ran."""
MIXED_CODE = "plugin_code_differs"
"""Flag of scores whose students, or whose fine-tuning, ran with different code of a package under one id."""


@dataclass(frozen=True, eq=False)
class Frames:
    """One state of the database."""

    cells: pd.DataFrame
    """row_id, model_key, role, suite, task, language, protocol, value, runs, n, no_information, dev_value, flags:
    see the view `cells`.
    """
    models: pd.DataFrame
    """Indexed by model_key: row_id, role, family, method, student, teacher, language, distil_seed,
    teacher_key, arch_key, tokens.
    """
    settings: dict[str, dict[str, object]]
    """row_id -> the settings of its distillation, flattened to dotted paths; a milestone has those of its configuration."""
    measurements: pd.DataFrame
    """arch_key, model_key, metric, value, unit, protocol, fingerprint, device, spread, valid."""
    trials: pd.DataFrame
    """Count of trials by kind and status."""
    strata: pd.DataFrame
    """By row_id: what families may be compared within, see `harness.ranking.cells.strata`."""
    waiting: pd.DataFrame
    """Students without a score where one is planned, see `harness.ranking.cells.unscored`."""
    evaluations: pd.DataFrame
    """Fine-tuning trials by suite, task and state, see `harness.ranking.cells.unscored`."""
    selects: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """row_id -> settings over which its spec selects, as paths of `settings`."""

    @property
    def empty(self) -> bool:
        """Whether nothing has been scored yet."""
        return self.cells.empty

    @cached_property
    def varied(self) -> dict[str, dict[str, object]]:
        """`settings`, of them only those that are not the same everywhere."""
        paths = list(differing(self.settings))
        return {row: {path: one[path] for path in paths if path in one} for row, one in self.settings.items()}

    @cached_property
    def recipes(self) -> dict[str, dict[str, object]]:
        """Of `varied`, the settings that mean the same for every method, and how the teacher was made, by row_id:
        they are shown wherever they differ."""
        return {
            row: {path: value for path, value in self.varied[row].items() if is_shared(path)}
            | {"teacher": prepared_or_shipped(settings)}
            for row, settings in self.settings.items()
        }

    @cached_property
    def repeated(self) -> pd.Index:
        """Models whose encoder is that of a lower seed of their row: of a control that copies everything and draws
        nothing, all seeds but one."""
        known = self.models.dropna(subset="encoder_key").sort_values("distil_seed", kind="stable")
        return known.index[known.duplicated(["row_id", "encoder_key"])]

    @cached_property
    def shipped_teacher(self) -> pd.Series:
        """Model -> the checkpoint as shipped at the root of its teachers."""
        parent = self.models["teacher_key"]
        root = parent.copy()
        for _ in range(8):  # a chain of assistants longer than this has not been seen
            above = root.map(parent)
            root = above.where(above.notna(), root)
        return root


def read_frames(store: Store) -> Frames:
    """The database as it is now. InputError where it is missing or cannot be read."""
    with store.read() as con:
        cells = con.execute(
            "SELECT * REPLACE (coalesce(config_id, model_key) AS config_id) FROM cells ORDER BY ALL"
        ).df()
        models = con.execute("SELECT * EXCLUDE (config) FROM models ORDER BY model_key").df()
        jobs = con.execute(
            "SELECT coalesce(config_id, trial_id), min_by(config, trial_id), min_by(data, trial_id) FROM trials "
            "WHERE kind IN ('distil', 'prepare') GROUP BY 1"
        ).fetchall()
        selects = con.execute(
            "SELECT config_id, any_value(labels ->> '$.select') FROM trials "
            "WHERE kind = 'distil' AND labels ->> '$.select' IS NOT NULL GROUP BY 1"
        ).fetchall()
        measurements = con.execute(
            "SELECT m.*, t.finished_at FROM measurements m JOIN trials t USING (trial_id) "
            "WHERE m.valid ORDER BY t.finished_at"
        ).df()
        trials = con.execute(
            "SELECT kind, status, count(*) AS count FROM trials GROUP BY ALL ORDER BY ALL"
        ).df()
        waiting = con.execute(unscored.STUDENTS).df()
        evaluations = con.execute(unscored.EVALUATIONS).df()
        precisions = dict(con.execute(PRECISIONS).fetchall())
        mixed_code = _mixed_code(con.execute(PLUGINS).fetchall())
    cells = unscored.without_survivors(cells, waiting)
    models["config_id"] = models["config_id"].fillna(models["model_key"])
    if mixed_code:
        flagged = cells["config_id"].isin(mixed_code) | cells["protocol"].isin(mixed_code)
        cells["flags"] = [
            [*flags, MIXED_CODE] if own else flags for flags, own in zip(cells["flags"], flagged, strict=True)
        ]
    mixed = _mixed(models, precisions)
    for frame in (cells, models):
        precision = _made_in(frame["model_key"], precisions)
        apart = precision.where(frame["config_id"].isin(mixed))
        frame.insert(0, "row_id", _row_ids(frame["config_id"], apart, frame["milestone"]))
    models["distil_seed"] = models["distil_seed"].fillna(_stand_in_seeds(models)).astype("int64")
    for column in ("row_id", "model_key", "suite", "task", "language", "protocol", "role"):
        cells[column] = cells[column].astype("category")
    made_by = flattened_all({maker: job for maker, job, _ in jobs})
    read = {maker: json.loads(data) for maker, _, data in jobs}
    first = models.drop_duplicates("row_id")
    one_model = dict(zip(first["row_id"], first["model_key"], strict=True))
    makers = {
        row_id: maker
        for row_id, config, model in zip(first["row_id"], first["config_id"], first["model_key"], strict=True)
        for maker in (config, model)  # a prepared teacher has no configuration
        if maker in made_by
    }
    settings = {
        row_id: made_by[maker] | _precision_of(one_model[row_id], precisions)
        for row_id, maker in makers.items()
    }
    strata = strata_of(settings, {row_id: read[maker] for row_id, maker in makers.items()}, models)
    models = models.set_index("model_key")
    waiting = waiting.join(models["row_id"], on="model_key")
    over = {
        config: tuple(axis.removeprefix("distil.") for axis in axes.split(",")) for config, axes in selects
    }
    return Frames(cells, models, settings, measurements, trials, strata, waiting, evaluations, over)


def _stand_in_seeds(models: pd.DataFrame) -> pd.Series:
    """A seed for each model whose own is not known (a teacher; a student whose trial is not here): no other of its row
    has it."""
    return -1 - models.groupby("row_id").cumcount()


def _row_ids(config: pd.Series, precision: pd.Series, milestone: pd.Series) -> pd.Series:
    """A configuration, or its students of one precision where they are of several, or one of its milestones, as the name
    of a row."""
    whole = config.astype(object)
    whole = whole.where(precision.isna(), whole + "+" + precision.fillna(""))
    return whole.where(milestone.isna(), whole + "@" + milestone.astype("Int64").astype(str))


def configuration_of(row_id: str) -> str:
    """The configuration that a row belongs to."""
    return re.split("[+@]", row_id)[0]


def _made_in(models: pd.Series, precisions: Mapping[str, str]) -> pd.Series:
    """The precision that each model was trained in; a milestone's is its student's."""
    return models.astype(str).str.split("@").str[0].map(precisions)


def _mixed(models: pd.DataFrame, precisions: Mapping[str, str]) -> set[str]:
    """Configurations whose students were trained in several precisions, and must not be averaged."""
    precision_of = models[["config_id"]].assign(precision=_made_in(models["model_key"], precisions)).dropna()
    counted = precision_of.groupby("config_id")["precision"].nunique()
    return set(counted[counted > 1].index)


def _mixed_code(recorded: Iterable[tuple[str, str]]) -> set[str]:
    """Of the answer to `PLUGINS`, what names a plugin with more than one origin."""
    origins: dict[tuple[str, str], set[str]] = {}
    for shared, plugins in recorded:
        for plugin, origin in json.loads(plugins).items():
            origins.setdefault((shared, plugin), set()).add(origin)
    return {shared for (shared, _), known in origins.items() if len(known) > 1}


def _precision_of(model: str, precisions: Mapping[str, str]) -> dict[str, object]:
    """What `precision: auto` came to, for the settings of a row."""
    precision = precisions.get(model.partition("@")[0])
    return {"precision": precision} if precision else {}


def measures(
    frames: Frames, timed: pd.DataFrame, latency_protocol: str | None = None, fingerprint: str | None = None
) -> pd.DataFrame:
    """One row per row_id, one column per measure.

    Timings are those of one protocol on one hardware: the ones given, else the first of `timed` (see `timings`).
    A measure of the models themselves (taken by their own trials, mean over students) goes before one of their
    architecture. Where a model was measured twice, the last time counts.
    """
    measured = frames.measurements
    protocol = latency_protocol or (timed["protocol"].iloc[0] if len(timed) else None)
    hardware = fingerprint or (timed["fingerprint"].iloc[0] if len(timed) else None)
    latency = measured["metric"].eq("latency_ms")
    of_protocol = measured[
        ~latency | ((measured["protocol"] == protocol) & (measured["fingerprint"] == hardware))
    ]
    models = frames.models.reset_index()[["row_id", "model_key", "arch_key"]]
    rows = models.drop_duplicates("row_id")
    by_arch = of_protocol[of_protocol["model_key"].isna()].drop_duplicates(
        ["arch_key", "metric"], keep="last"
    )
    by_model = of_protocol[of_protocol["model_key"].notna()].drop_duplicates(
        ["model_key", "metric"], keep="last"
    )
    own = models.merge(by_model[["model_key", "metric", "value"]], on="model_key")
    long = pd.concat(
        [
            own.groupby(["row_id", "metric"], as_index=False)["value"].mean(),
            rows.merge(by_arch[["arch_key", "metric", "value"]].dropna(subset="arch_key"), on="arch_key"),
        ]
    ).drop_duplicates(["row_id", "metric"])
    wide = long.pivot(index="row_id", columns="metric", values="value")
    wide.columns.name = None
    return wide.reindex(rows["row_id"])


def timings(frames: Frames) -> pd.DataFrame:
    """Protocols under which latency was measured, with hardware, the widest covered first: protocol,
    fingerprint, device, models.
    """
    latency = frames.measurements[frames.measurements["metric"] == "latency_ms"]
    keys = ["protocol", "fingerprint", "device"]
    counted = latency.groupby(keys, dropna=False)["arch_key"].nunique().rename("models").reset_index()
    counted["batch"] = [_batch(protocol) for protocol in counted["protocol"]]
    return counted.sort_values(
        ["models", "batch", *keys], ascending=[False, True, True, True, True], ignore_index=True
    )


def _batch(protocol: str) -> int:
    match = re.search(r"batch (\d+)", protocol)
    return int(match.group(1)) if match else 0
