"""Everything about one trial: what it is, what came of it, what stood behind it, and how to get it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from harness.ranking import milestones
from harness.ranking.cells.settings import flattened
from harness.ranking.contributions import share_points
from harness.ranking.glance.reuse import spec_to_type
from harness.ranking.render import text
from harness.results.in_progress import curve
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import from_address, one, to_address
from leaderboard.page import opened
from leaderboard.theme import STATES

KINDS = ("distil", "finetune", "prepare", "analyse", "measure")


def page() -> None:
    """One trial, chosen by its title or by the address."""
    if opened("Trial", unscored=None) is None:
        return
    trials = data.query("SELECT trial_id, title, kind, status FROM trials ORDER BY title, trial_id")
    _choose_from_address(trials)
    with st.sidebar:
        kinds = [kind for kind in KINDS if kind in set(trials["kind"])]
        kind = one("Kind", ["all", *kinds], "trial_kind")
    shown = trials if kind == "all" else trials[trials["kind"] == kind]
    names = dict(zip(shown["trial_id"], shown["title"], strict=True))
    picked = st.selectbox(
        "Trial", list(names), format_func=lambda name: f"{names.get(name, '')} · {name[:8]}", key="trial"
    )
    to_address("trial", [picked] if picked else [])
    if picked is None:
        return
    row = data.query("SELECT * FROM trials WHERE trial_id = ?", picked).iloc[0]
    _head(row)
    left, right = st.columns([3, 2], gap="large", wrap=True)
    with left:
        _scores(picked)
        _curves(picked)
        _shares(row)
        _milestones(row)
        _measurements(picked)
        _settings(row)
    with right:
        _provenance(row)
        _relatives(row)
        _files(picked)
        _again(row)


def _choose_from_address(trials: pd.DataFrame) -> None:
    """Go to the trial that the address names; whatever its kind, it must be among the choices."""
    from_address("trial", trials["trial_id"].tolist())
    chosen = st.session_state.get("trial")
    if isinstance(chosen, list):
        if chosen:
            st.session_state["trial"] = chosen[0]
            st.session_state["trial_kind"] = "all"
        else:
            del st.session_state["trial"]
            st.warning(f"There is no trial {st.query_params.get('trial')!r} in this database.")


def _head(row: pd.Series) -> None:
    status = row["status"]
    st.html(
        f'<div style="font-size:1.05rem"><span style="color:{STATES.get(status, "#8b95a1")}">●</span> '
        f"<b>{status}</b>"
        f'<span class="meta"> · {row["kind"]} · {row["trial_id"]}</span></div>'
    )
    if status == "failed":
        where = f" at step {int(row['error_step']):,}" if text.known(row["error_step"]) else ""
        term = f", term {row['error_term']}" if text.known(row["error_term"]) else ""
        st.error(f"**{row['error']}**{where}{term}: {row['error_message']}")
    for flag in _items(row["flags"]):
        st.warning(str(flag).replace("_", " "))
    facts = {
        "Work": text.duration(row["seconds"]),
        "Tokens": text.count(row["tokens"]),
        "Tokens/s": text.count(row["tokens_per_second"]),
        "Utilisation": text.share(row["utilisation"]),
        "Resumed": f"{int(row['resumed'])}×" if text.known(row["resumed"]) and row["resumed"] else None,
        "Variance kept": text.share(_variance_kept(row["facts"])),
        "Dev score": text.points(row["dev_value"]) if text.known(row["dev_value"]) else None,
    }
    shown = [(name, value) for name, value in facts.items() if value and value != text.NONE]
    for column, (name, value) in zip(st.columns(max(len(shown), 1)), shown, strict=False):
        column.metric(name, value)


def _variance_kept(facts: Any) -> float | None:
    """Share of the variance of its teacher's word embeddings that a student started with."""
    known = json.loads(facts) if isinstance(facts, str) else {}
    kept: float | None = known.get("embedding_variance_kept")
    return kept


def _items(value: Any) -> list[str]:
    """A list column's content; DuckDB's null is None, NaN or pandas' NA."""
    return [str(item) for item in value] if isinstance(value, (list, tuple, np.ndarray)) else []


def _scores(trial_id: str) -> None:
    scores = data.query(
        "SELECT task, language, split, metric, 100 * value AS points, n, reported FROM scores WHERE "
        "trial_id = ? "
        "ORDER BY reported DESC, task, language, split, metric",
        trial_id,
    )
    if scores.empty:
        return
    st.subheader("Scores")
    config = {
        "points": st.column_config.NumberColumn(format="%.2f"),
        "reported": st.column_config.CheckboxColumn(
            help="Counts on the leaderboard, if this setting was chosen."
        ),
    }
    st.dataframe(scores, hide_index=True, width="stretch", column_config=config)


def _curves(trial_id: str) -> None:
    lines = data.query("SELECT * FROM progress WHERE trial_id = ? ORDER BY step", trial_id)
    points = curve(lines)
    if points.empty:
        return
    st.subheader("Learning curve")
    st.altair_chart(figures.curves(points, "loss", "loss, by term"), width="stretch")
    clipped = lines.dropna(subset="clipped").assign(series="clipped steps")
    if len(clipped):
        title = "share of steps whose gradient was clipped"
        st.altair_chart(figures.curves(clipped, "clipped", title, "series"), width="stretch")


def _shares(row: pd.Series) -> None:
    """What each term contributed, where there are several."""
    points = share_points(json.loads(row["facts"])) if text.known(row["facts"]) else pd.DataFrame()
    if points.empty:
        return
    st.subheader("Shares of the terms")
    gradient = figures.curves(points, "gradient", "share of the gradient, by term")
    loss = figures.curves(points, "loss", "share of the weighted loss, by term")
    for column, chart in zip(st.columns(2), (gradient, loss), strict=True):
        column.altair_chart(chart, width="stretch")


def _milestones(row: pd.Series) -> None:
    """What intermediate students scored, or that there are some."""
    recipe = json.loads(row["config"]).get("recipe", {})
    steps = recipe.get("milestones")
    if row["kind"] != "distil" or not steps:
        return
    st.subheader("Intermediate students")
    scores = data.query(milestones.OF_TRIAL, trial=row["trial_id"])
    if text.known(row["tokens"]) and len(scores):
        points = milestones.of_trial(scores, int(recipe["steps"]), float(row["tokens"]))
        if len(points):
            st.altair_chart(figures.quality_over_tokens(points, "points, by task"), width="stretch")
    named = ", ".join(f"{step:,}" for step in steps)
    st.caption(
        f"Exported at step {named} of {recipe['steps']:,}, below `milestones/`; `harness export --model "
        f"{row['trial_id'][:8]}@{steps[0]} --out DIR` writes one ready for use."
    )


def _measurements(trial_id: str) -> None:
    measurements = data.query(
        "SELECT metric, value, unit, protocol, spread, valid FROM measurements WHERE trial_id = ? ORDER "
        "BY metric",
        trial_id,
    )
    if measurements.empty:
        return
    st.subheader("Measurements")
    if measurements["spread"].isna().all():
        measurements = measurements.drop(columns="spread")
    measurements["value"] = [
        f"{value:,.4g}" if abs(value) < 1e6 else text.count(value) for value in measurements["value"]
    ]
    st.dataframe(measurements, hide_index=True, width="stretch")


def _settings(row: pd.Series) -> None:
    job: dict[str, Any] = json.loads(row["config"])
    flat = flattened(job)
    st.subheader("Settings")
    shown = pd.DataFrame(
        [(path, str(value)) for path, value in flat.items() if value is not None],
        columns=["setting", "value"],
    )
    st.dataframe(shown, hide_index=True, width="stretch", height=320)
    with st.expander("As recorded"):
        st.json(job, expanded=1)


def _provenance(row: pd.Series) -> None:
    st.subheader("Provenance")
    lines = {name: row[name] for name in ("spec", "device", "fingerprint", "precision", "threads", "origin")}
    if text.known(row["provenance"]):
        behind = json.loads(row["provenance"])
        lines |= (
            {"harness": behind["harness"], "commit": behind.get("commit")}
            | behind["versions"]
            | behind["kernels"]
            | behind.get("plugins", {})
        )
    for name, stamp in (("started", row["started_at"]), ("finished", row["finished_at"])):
        if text.known(stamp):
            lines[name] = pd.Timestamp(stamp, unit="s").strftime("%Y-%m-%d %H:%M:%S UTC")
    lines |= {"weights SHA-256": row["weights_sha256"], "configuration": row["config_id"]}
    shown = [(name, str(value)) for name, value in lines.items() if text.known(value) and value != ""]
    st.dataframe(pd.DataFrame(shown, columns=["what", "value"]), hide_index=True, width="stretch")
    with st.expander("Data it read"):
        st.json(json.loads(row["data"]))


def _relatives(row: pd.Series) -> None:
    """Parents and children, as links."""
    parents = _items(row["parents"])
    children = data.query(
        "SELECT trial_id, title || coalesce(' @' || milestone, '') FROM trials WHERE list_contains(parents, $trial) "
        "OR trial_id IN (SELECT trial_id FROM evaluations WHERE model_key = $trial) "
        "ORDER BY milestone NULLS FIRST, title LIMIT 20",
        trial=row["trial_id"],
    )
    titles: dict[str, str] = (
        dict(
            data.query(
                "SELECT trial_id, title FROM trials WHERE list_contains(?, trial_id)", parents
            ).itertuples(index=False)
        )
        if parents
        else {}
    )
    page_of = st.session_state.get("pages", {}).get("trial")
    for heading, relatives in (("Made from", titles), ("Used by", dict(children.itertuples(index=False)))):
        if not relatives:
            continue
        st.subheader(heading)
        for trial_id, title in relatives.items():
            if page_of is not None:
                st.page_link(
                    page_of,
                    label=_short(str(title), str(row["title"])),
                    query_params={"trial": str(trial_id)},
                )
            else:
                st.markdown(f"- {title} · `{trial_id}`")


def _short(title: str, beside: str) -> str:
    """A title without what it has in common with the trial on the page."""
    kind, *words = title.split()
    return " ".join([kind, *(word for word in words if word not in beside.split())]) or title


def _files(trial_id: str) -> None:
    folder = data.store().runs_dir / trial_id
    if not folder.is_dir():
        return
    st.subheader("Files")
    rows = [
        (str(path.relative_to(folder)), path.stat().st_size)
        for path in sorted(_inside(folder))
        if path.is_file()
    ]
    shown = pd.DataFrame(rows, columns=["file", "bytes"])
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        column_config={"bytes": st.column_config.NumberColumn(format="bytes")},
    )
    st.caption(f"`{folder}`")


def _inside(folder: Path) -> list[Path]:
    """Files of a trial, at most a few hundred."""
    files: list[Path] = []
    for path in folder.rglob("*"):
        files.append(path)
        if len(files) >= 300:
            break
    return files


def _again(row: pd.Series) -> None:
    st.subheader("Again")
    st.code(
        f"harness show {row['trial_id']}\n# the whole plan anew, in a folder of its own; this trial "
        "keeps its id\n"
        f"harness run {spec_to_type(row['spec'] if text.known(row['spec']) else None)} --runs-dir runs-again",
        language=None,
        wrap_lines=True,
    )
