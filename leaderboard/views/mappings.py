"""Layer mappings of hidden-state methods, head to head on one student, each with its map drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import TypeAdapter, ValidationError

from harness.methods.mappings.mapping import AnyMapping, MappingParams, StaticMapping
from harness.ranking.cells.frames import configuration_of
from harness.ranking.cells.table import Ranking
from harness.ranking.render import text
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import one, sidebar
from leaderboard.page import opened
from leaderboard.wording import row_labels

NONE_RANKED = (
    "No hidden-state method has been ranked here yet. Add `hs-uniform`, `hs-last` or another of those that "
    "`harness methods` lists under HS to a spec's grid."
)


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
    ranking = board.ranking(sidebar(board))
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
    _scores(ranking, rows)
    _maps(rows)


def _scores(ranking: Ranking, rows: pd.DataFrame) -> None:
    labels = row_labels(rows)
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
    mappings = [mapped for row in rows["config_id"] for mapped in _mapping_of(row)]
    seen: dict[str, Mapped] = {}
    for mapped in mappings:
        seen.setdefault(mapped.mapping.model_dump_json(), mapped)
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


def _mapping_of(row_id: str) -> list[Mapped]:
    """The hidden-state mapping of a configuration, read from one of its distil trials."""
    config = configuration_of(row_id)
    jobs = data.query(
        "SELECT config, facts, teacher_key, arch_key FROM trials WHERE kind = 'distil' AND config_id = ? "
        "LIMIT 1",
        config,
    )
    if jobs.empty:
        return []
    job = json.loads(jobs["config"].iloc[0])
    depth = _depth(job, jobs["facts"].iloc[0])
    mappings = []
    for term in job["method"]["objective"]:
        mapping = _parsed(term["mapping"]) if "mapping" in term else None
        if mapping is not None:
            mappings.append(Mapped(row_id, mapping, int(job["student"]["layers"]), depth))
    return mappings[:1]


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
