"""Layer mappings of hidden-state methods, head to head on one student, each with its map drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import TypeAdapter, ValidationError

from harness.counted import counted
from harness.methods.mappings.mapping import AnyMapping, MappingParams, StaticMapping
from harness.ranking.cells.frames import configuration_of
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.leader import leader_sentence
from harness.ranking.render import text
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import one, one_setting, sidebar
from leaderboard.page import counted_out, opened
from leaderboard.wording import row_labels

NONE_RANKED = (
    "No hidden-state method has been ranked here yet. Add `hs-uniform`, `hs-last` or another of those that "
    "`harness methods` lists under HS to a spec's grid."
)


MOST_ROWS = 30
"""Rows that are drawn before the reader asks for all."""


@dataclass(frozen=True)
class Mapped:
    """A configuration's mapping and the depths it joins."""

    row_id: str
    mapping: MappingParams
    student_layers: int
    teacher_layers: int | None


def page() -> None:
    """Scores of the hidden-state methods of one student, and what each mapping joins."""
    board = opened("Layer mappings", NONE_RANKED)
    if board is None:
        return
    filters = one_setting(board, sidebar(board))
    ranking = board.ranking(filters)
    rows = ranking.ranked[(ranking.ranked["family"] == "HS") & ranking.ranked["mean"].notna()]
    if rows.empty:
        st.info(NONE_RANKED)
        return
    with st.sidebar:
        student = one(
            "Drawn student",
            sorted(
                rows["student"].unique(), key=lambda name: -rows.loc[rows["student"] == name, "mean"].max()
            ),
            "hs_student",
        )
    rows = rows[rows["student"] == student]
    labels = row_labels(rows)
    named = {str(row): str(name) for row, name in labels.items()}
    mappings = counted(rows["method"].nunique(), "method of hidden states", "methods of hidden states")
    st.markdown(f"Of {mappings} on {student}: {leader_sentence(ranking, named, rows['config_id'])}")
    if len(rows) > MOST_ROWS and not st.toggle(f"Draw all {len(rows)} rows", key="all", bind="query-params"):
        rows = rows.head(MOST_ROWS)
    _scores(ranking, rows, labels)
    _maps(rows)
    counted_out(board, filters)


def _scores(ranking: Ranking, rows: pd.DataFrame, labels: pd.Series) -> None:
    drawn = rows.assign(
        label=rows["config_id"].map(labels),
        rank_text=[text.rank_range(*row) for row in rows[["rank", "best_rank", "worst_rank"]].to_numpy()],
    )
    st.vega_lite_chart(
        figures.forest(drawn, pd.DataFrame(columns=["label", "mean"]), "points, with 95 % intervals"),
        width="stretch",
    )
    st.caption(
        f"{rows['student'].iloc[0]}, mean over {', '.join(ranking.tasks)}. Ranks are among all rows of the "
        "ranking."
    )


def _maps(rows: pd.DataFrame) -> None:
    st.subheader("What each mapping joins")
    seen = _mappings_of(rows["config_id"].tolist())
    columns = st.columns(3, gap="medium", wrap=True)
    for index, mapped in enumerate(seen.values()):
        with columns[index % 3], st.container(border=True):
            _one_map(mapped)
    st.caption(
        "Left: student layers; right: teacher layers; 0 is the embedding output. Dynamic mappings change "
        "while training."
    )


def _one_map(mapped: Mapped) -> None:
    mapping, depth = mapped.mapping, mapped.teacher_layers
    options = mapping.model_dump(exclude={"name"}, exclude_defaults=True)
    st.markdown(
        f"**{mapping.name}**" + (f" · {', '.join(f'{k} {v}' for k, v in options.items())}" if options else "")
    )
    st.caption(mapping.formula())
    if not isinstance(mapping, StaticMapping) or depth is None:
        st.caption(
            "Weights between all layers, re-computed while training."
            if mapping.dynamic
            else "The teacher's depth is not recorded."
        )
        return
    layers = mapping.layers(depth, mapped.student_layers)
    pairs = pd.DataFrame(
        [(i, j) for i, targets in layers.items() for j in targets], columns=["student", "teacher"]
    )
    st.altair_chart(figures.layer_map(pairs, depth, mapped.student_layers), width="stretch")


def _mappings_of(row_ids: list[str]) -> dict[str, Mapped]:
    """The hidden-state mappings of configurations, each once, read from one distil trial of each."""
    jobs = data.query(
        "SELECT config_id, any_value(config) AS config, any_value(facts) AS facts FROM trials "
        "WHERE kind = 'distil' AND list_contains(?, config_id) GROUP BY 1",
        [configuration_of(row) for row in row_ids],
    ).set_index("config_id")
    seen: dict[str, Mapped] = {}
    for row in row_ids:
        if configuration_of(row) not in jobs.index:
            continue
        found = jobs.loc[configuration_of(row)]
        job, facts = json.loads(str(found["config"])), found["facts"]
        terms = [_parsed(term["mapping"]) for term in job["method"]["objective"] if "mapping" in term]
        mapping = next((one for one in terms if one is not None), None)
        if mapping is not None and mapping.model_dump_json() not in seen:
            layers = int(job["student"]["layers"])
            seen[mapping.model_dump_json()] = Mapped(row, mapping, layers, _depth(job, facts))
    return seen


def _parsed(mapping: Any) -> MappingParams | None:
    try:
        parsed: MappingParams = TypeAdapter(AnyMapping).validate_python(mapping)
    except ValidationError:
        return None  # a mapping of a plug-in that is not installed here
    return parsed


def _depth(job: dict[str, Any], facts: object) -> int | None:
    """The teacher's layers: as the trial recorded, or as its entry declares."""
    known = json.loads(facts) if isinstance(facts, str) else {}
    if "teacher_layers" in known:
        return int(known["teacher_layers"])
    source = job["teacher"]
    while source.get("teacher") is None and source.get("trial"):
        parent = data.query("SELECT config FROM trials WHERE trial_id = ?", source["trial"])
        if parent.empty:
            return None
        maker = json.loads(parent["config"].iloc[0])
        if maker["kind"] == "distil":
            return int(maker["student"]["layers"])
        source = {"teacher": maker["teacher"]}
    shape = (source.get("teacher") or {}).get("shape")
    return int(shape["layers"]) if shape else None
