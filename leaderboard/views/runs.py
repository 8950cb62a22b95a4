"""How a run is getting on: trials by state, what is at work now, learning curves, failures with their reason."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.milestones import quality_over_tokens
from harness.ranking.render import text
from harness.ranking.render.trials import STATES
from harness.records.trial import KINDS
from harness.results.in_progress import LiveTrial, curve, live_trials
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import BOUND, from_address, one, to_address
from leaderboard.page import opened
from leaderboard.theme import STATES as COLOURS
from leaderboard.wording import row_labels

REFRESH = 5.0
"""Seconds between two looks at the folders."""
MOST_CURVES = 8


def page() -> None:
    """Trials by state, those under way, failures, learning curves and throughput."""
    board = opened("Runs", unscored=None)
    if board is None:
        return
    _now()
    _failures()
    _curves()
    _quality(board)
    _throughput()


@st.fragment(run_every=REFRESH)
def _now() -> None:
    """State of the plan and trials at work; refreshes by itself."""
    counts = data.query(
        "SELECT kind, status, count(*) AS trials, sum(seconds) AS seconds FROM trials GROUP BY ALL"
    )
    total, done = (
        int(counts["trials"].sum()),
        int(counts.loc[counts["status"].isin(["ok", "pruned"]), "trials"].sum()),
    )
    finished = data.query("SELECT trial_id FROM trials WHERE status IN ('ok', 'failed', 'pruned')")[
        "trial_id"
    ]
    live = live_trials(data.store().runs_dir, finished)
    running = [trial for trial in live if trial.running]
    failed = int(counts.loc[counts["status"] == "failed", "trials"].sum())
    columns = st.columns(4)
    columns[0].metric("Done", f"{done:,} of {total:,}")
    columns[1].metric("Running now", f"{len(running)}")
    columns[2].metric("Failed", f"{failed:,}")
    columns[3].metric("Work so far", text.duration(counts["seconds"].sum()))
    st.html(_bar(counts, total))
    table = counts.pivot_table(index="kind", columns="status", values="trials", aggfunc="sum", fill_value=0)
    table = table.reindex(index=[kind for kind in KINDS if kind in table.index])
    shown = table.reindex(columns=[state for state in STATES if state in table.columns]).reset_index()
    st.dataframe(shown, hide_index=True, width="stretch")
    if running:
        st.subheader("At work")
        st.dataframe(
            _live_table(running),
            hide_index=True,
            width="stretch",
            column_config={"progress": st.column_config.ProgressColumn(format="percent", max_value=1.0)},
        )
    halted = [trial for trial in live if not trial.running]
    if halted:
        st.caption(
            f"Begun and silent, interrupted or waiting: {len(halted)}. The next `harness run` goes on where "
            "they stopped."
        )


def _bar(counts: pd.DataFrame, total: int) -> str:
    """One bar of all trials by state."""
    by_state = counts.groupby("status")["trials"].sum()
    parts = "".join(
        f'<div title="{state}: {by_state[state]}" '
        f'style="width:{100 * by_state[state] / max(total, 1):.3f}%;background:{COLOURS[state]}"></div>'
        for state in STATES
        if by_state.get(state, 0)
    )
    keys = " ".join(
        f'<span style="color:{COLOURS[state]}">●</span> {state} {by_state[state]:,}'
        for state in STATES
        if by_state.get(state, 0)
    )
    return (
        f'<div style="display:flex;height:10px;border-radius:5px;overflow:hidden;gap:1px">{parts}</div>'
        f'<div class="meta" style="margin-top:.35rem;word-spacing:.1rem">{keys}</div>'
    )


def _live_table(running: list[LiveTrial]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [trial.title for trial in running],
            "progress": [
                trial.last.step / max(trial.last.steps, 1) if trial.last else 0.0 for trial in running
            ],
            "loss": [round(trial.last.loss, 4) if trial.last else None for trial in running],
            "tokens/s": [round(trial.last.tokens_per_second) if trial.last else None for trial in running],
            "time left": [text.duration(trial.seconds_left) for trial in running],
            "id": [trial.trial_id for trial in running],
        }
    )


def _failures() -> None:
    failed = data.query(
        "SELECT title AS trial, error AS reason, error_message AS message, error_step AS step, trial_id "
        "AS id FROM trials "
        "WHERE status = 'failed' ORDER BY error, title"
    )
    if failed.empty:
        return
    st.subheader("Failures")
    if failed["step"].isna().all():
        failed = failed.drop(columns="step")
    st.dataframe(failed, hide_index=True, width="stretch")
    st.caption("`harness run` with the same spec tries failed trials again, and nothing else.")


def _curves() -> None:
    kinds = data.query(
        "SELECT kind FROM trials WHERE trial_id IN (SELECT trial_id FROM progress) GROUP BY 1 ORDER BY 1"
    )["kind"].tolist()
    if not kinds:
        return
    st.subheader("Learning curves")
    left, right = st.columns([1, 3], wrap=True)
    with left:
        kind = one(
            "Kind", sorted(kinds, key=("distil", "prepare", "finetune", "analyse", "measure").index), "kind"
        )
    trials = data.query(
        "SELECT trial_id, title FROM trials WHERE kind = ? AND trial_id IN (SELECT trial_id FROM "
        "progress) ORDER BY title",
        kind,
    )
    titles = dict(zip(trials["trial_id"], trials["title"], strict=True))
    with right:
        from_address("curves", list(titles))
        picked = st.multiselect(
            "Trials",
            list(titles),
            format_func=lambda name: titles.get(name, name),
            key="curves",
            placeholder=f"the first {MOST_CURVES}",
            max_selections=MOST_CURVES,
        )
        to_address("curves", picked)
    chosen = list(picked) or list(titles)[:MOST_CURVES]
    marks = ", ".join("?" * len(chosen))
    points = curve(
        data.query(f"SELECT * FROM progress WHERE trial_id IN ({marks}) ORDER BY trial_id, step", *chosen)
    )
    if points.empty:
        st.caption("No loss has been recorded yet.")
        return
    points["trial"] = points["trial_id"].map(titles).str.removeprefix(f"{kind} ")
    whole = points[points["term"] == "loss"]["trial"]
    alone = points[~points["trial"].isin(whole)].assign(term="loss")  # a single term is the whole loss
    points = pd.concat([points, alone])
    terms = [term for term in points["term"].unique() if term != "loss"]
    with left:
        term = one("Term", ["loss", *terms], "term")
    log = left.toggle("Logarithmic", key="log", **BOUND)
    shown = points[(points["term"] == term) & ((points["loss"] > 0) | (not log))]
    right.altair_chart(figures.curves(shown, "loss", term, "trial", log=log), width="stretch")
    if not picked and len(titles) > MOST_CURVES:
        right.caption(f"The first {MOST_CURVES} of {len(titles)}; choose others above.")


def _quality(board: Board) -> None:
    """What students scored on the way, where a spec asked for `milestones`."""
    cells = board.frames.cells
    on_the_way = cells[cells["milestone"].notna()]
    suites = sorted(map(str, on_the_way["suite"].unique()))
    if not suites:
        return
    st.subheader("Quality over tokens")
    suite = one("Suite", suites, "quality")
    ranking = board.ranking(Filters(suite=suite, milestones=True))
    points = quality_over_tokens(ranking, board.frames)
    best_first = points.groupby("config_id")["mean"].max().sort_values(ascending=False).index
    ranked = ranking.ranked[ranking.ranked["milestone"].isna()]
    labels = row_labels(ranked)
    shown = points[points["config_id"].isin(best_first[:MOST_CURVES])]
    st.altair_chart(
        figures.quality_over_tokens(shown.assign(series=shown["config_id"].map(labels)), f"{suite}, points"),
        width="stretch",
    )
    more = f" The best {MOST_CURVES} of {len(best_first)}." if len(best_first) > MOST_CURVES else ""
    st.caption(f"Intermediate students, evaluated like their last, with 95 % intervals over seeds.{more}")


def _throughput() -> None:
    rates = data.query(
        "SELECT kind, device, count(*) AS trials, median(tokens_per_second) AS median, "
        "max(tokens_per_second) AS best, median(flops_per_second) / 1e9 AS flops, "
        "100 * median(utilisation) AS utilisation, "
        "sum(seconds) / 3600 AS hours FROM trials WHERE tokens_per_second IS NOT NULL AND status = 'ok' "
        "GROUP BY ALL ORDER BY ALL"
    )
    if rates.empty:
        return
    st.subheader("Throughput")
    names = {
        "median": "tokens/s, median",
        "best": "tokens/s, best",
        "flops": "GFLOP/s, median",
        "utilisation": "utilisation",
    }
    st.dataframe(
        rates.rename(columns=names),
        hide_index=True,
        width="stretch",
        column_config={
            names["median"]: st.column_config.NumberColumn(format="localized", step=1),
            names["best"]: st.column_config.NumberColumn(format="localized", step=1),
            names["flops"]: st.column_config.NumberColumn(
                format="%.0f", help="Matrix products of training, over the seconds of its steps."
            ),
            names["utilisation"]: st.column_config.NumberColumn(
                format="%.0f %%", help="Of the rate of a large matrix product, measured on that machine."
            ),
            "hours": st.column_config.NumberColumn(format="%.2f"),
        },
    )
