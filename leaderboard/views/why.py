"""Why a method is ahead: students' layers beside the teacher's, and every method's loss on every student."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.ranking.analyses import ADD, MEASURES, AnalysedGroup, analysed_groups
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import BOUND, one
from leaderboard.page import opened


def page() -> None:
    """Heat maps of layers, one a method on one scale, then the matrix of losses; a sentence above each."""
    board = opened("Why", unscored=None)
    if board is None:
        return
    groups = board.once("analysed", lambda: analysed_groups(data.store(), board))
    if not groups:
        st.info(f"No student has been analysed here yet. {ADD}")
        return
    with st.sidebar:
        group = groups[one("Students", list(groups), "analysed")]
    _layers(group)
    _transfers(group)


def _layers(group: AnalysedGroup) -> None:
    st.subheader("Which layers of the teacher the student's layers are like")
    measure = st.segmented_control(
        "Measure", list(MEASURES), default="cka", key="measure", required=True,
        format_func=lambda name: "CKA" if name == "cka" else name.upper(), **BOUND,
    )  # fmt: skip
    st.markdown(group.layers_sentence(measure))
    st.altair_chart(figures.layer_heat_maps(group.maps(measure), MEASURES[measure]))
    st.caption(
        "Rows: student layers; columns: teacher layers; all methods on one scale, means over students. Held-out text "
        "of the corpus, corrupted as in distillation. "
        + (
            "Linear CKA (biased estimator) over positions that are real and whose true token is not a special "
            "one; 0 is the embedding output."
            if measure == "cka"
            else "KL divergence of the student's relations from the teacher's, in nats, mean over rows and relation heads."
        )
        + " The sentence compares the mean over student layers of the value at the closest teacher layer."
    )


def _transfers(group: AnalysedGroup) -> None:
    st.subheader("Every method's objective on every method's students")
    st.markdown(group.transfer_sentence())
    matrix = group.matrix()
    known = matrix.dropna(subset="loss")
    if not known.empty:
        st.altair_chart(
            figures.heat_map(
                known.assign(
                    column=known["objective"],
                    number=known["loss"].map("{:.3g}".format),
                    shade=_shade(known),
                    shown=known["loss"].map("{:.4g}".format) + known["n"].map(" (n = {})".format),
                )[["label", "column", "number", "shade", "shown"]],
                sorted(matrix["label"].unique()),
                sorted(known["objective"].unique()),
                "loss",
            ),
            width="stretch",
        )
    st.caption(
        "Rows: students of a method; columns: the objective that measures them; lighter is lower within a column. Losses "
        "of different objectives have different units. Projections, which are not kept with students, are fitted by least "
        "squares on every second example and measured on the others, and the other way round; to directions for "
        "cosines. Mappings that move are re-computed on the same halves."
    )
    missing = matrix[matrix["loss"].isna()]
    if not missing.empty:
        with st.expander("What could not be measured"):
            st.dataframe(missing[["label", "objective", "missing"]], hide_index=True, width="stretch")


def _shade(known: pd.DataFrame) -> pd.Series:
    """1 for the lowest loss by an objective, 0 for the highest."""
    losses = known.groupby("objective")["loss"]
    low, width = losses.transform("min"), losses.transform("max") - losses.transform("min")
    return (1 - (known["loss"] - low) / width.where(width > 0)).fillna(0.5)
