"""Cross-lingual tasks: scores by language, and what is lost against English."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from harness.ranking.cells.frames import configuration_of
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.openings import languages_sentence
from harness.ranking.render.language_names import language_name
from harness.ranking.robustness import by_seen, distilled_on, seen_sentences
from harness.ranking.statistics.guessing import AT_GUESSING
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import BOUND, one, one_setting, sidebar
from leaderboard.links import link
from leaderboard.page import counted_out, opened
from leaderboard.wording import row_labels

MOST_ROWS = 30


def page() -> None:
    """One cross-lingual task as a heat map of rows by language, or by what each loses against English."""
    board = opened("Languages", unscored=None)
    if board is None:
        return
    counted = board.frames.cells.groupby("task", observed=True)["language"].nunique()
    tasks = sorted(counted[counted > 1].index.astype(str))
    if not tasks:
        st.info(
            "No task here was scored in more than one language. `specs/multilingual.yaml` evaluates "
            "cross-lingually; "
            "XNLI is scored wherever its data is found."
        )
        return
    with st.sidebar:
        task = one("Task", tasks, "xtask")
    filters = replace(sidebar(board, suite=False), suite=None, tasks=(task,))
    filters = one_setting(board, filters)
    ranking = board.ranking(filters)
    labels = row_labels(ranking.table)
    scores = _scores(ranking.cells[ranking.cells["row_id"].isin(ranking.table["config_id"])])
    if scores.empty:
        st.info("Nothing matches these filters. Clear one of them in the sidebar.")
        return
    guessing = ranking.scope.guessing
    seen = board.once("distilled on", lambda: distilled_on(data.store()))
    complete = ranking.ranked[ranking.ranked["complete"].astype(bool)].set_index("config_id")["n"]
    whole = scores[scores.index.isin(complete.index)]
    own = {row: seen[name] for row in whole.index if (name := configuration_of(row)) in seen}
    st.markdown(languages_sentence(whole, task, {str(row): str(name) for row, name in labels.items()}))
    _draw(scores, _no_better(guessing[guessing["task"] == task]), labels, task)
    _best(whole, labels, complete)
    _tested(ranking, task)
    _seen(by_seen(whole, own), labels, complete)
    counted_out(board, filters, page=Filters(tasks=(task,)))


def _scores(cells: pd.DataFrame) -> pd.DataFrame:
    """Row × language, mean over students."""
    rows = cells.assign(row=cells["row_id"].astype(str), language=cells["language"].astype(str))
    return rows.pivot_table(index="row", columns="language", values="value", aggfunc="mean", observed=True)


def _no_better(guessing: pd.DataFrame) -> set[tuple[str, str]]:
    """(row, language) of the scores that are no better than guessing."""
    pairs = guessing.loc[~guessing["better"], ["row_id", "language"]].astype(str)
    return set(pairs.itertuples(index=False, name=None))


def _draw(scores: pd.DataFrame, no_better: set[tuple[str, str]], labels: pd.Series, task: str) -> None:
    languages = sorted(scores.columns, key=lambda code: (code != "en", code))
    views = ["score", "gap to English"] if "en" in scores else ["score"]
    left, right = st.columns([1, 1], wrap=True)
    with left:
        view = (
            st.segmented_control("Show", views, default=views[0], key="view", required=True, **BOUND)
            if len(views) > 1
            else "score"
        )
    with right:
        by = st.selectbox("Sort by", ["mean", *languages], key="sort", format_func=language_name, **BOUND)
    values = scores[languages]
    if view == "gap to English":
        values = values.sub(values["en"], axis=0).drop(columns="en")
        languages = languages[1:] if languages[0] == "en" else languages
    means = values.mean(axis=1, skipna=False)
    order = (values.get(by, means)).sort_values(ascending=False, na_position="last").index.tolist()
    if len(order) > MOST_ROWS and not st.toggle(
        f"Show all {len(order)} rows", key="all", bind="query-params"
    ):
        order = order[:MOST_ROWS]
    wide = values.loc[order].assign(mean=means)
    long = (
        wide.reset_index().melt(id_vars="row", var_name="column", value_name="value").dropna(subset="value")
    )
    long["label"] = long["row"].map(labels)
    long["shade"] = figures.by_column(long["value"], long["column"])
    plain = (100 * long["value"]).map(("{:+.1f}" if view != "score" else "{:.1f}").format)
    guessed = pd.Series(
        [pair in no_better for pair in long[["row", "column"]].itertuples(index=False, name=None)],
        index=long.index,
    )
    long["number"] = plain.where(~guessed, "(" + plain + ")")
    long["shown"] = plain.where(~guessed, plain + ", at guessing")
    title = "points" if view == "score" else "points to English"
    st.altair_chart(
        figures.heat_map(
            long.assign(column=long["column"].map(language_name))[
                ["label", "column", "number", "shade", "shown"]
            ],
            [labels[row] for row in order],
            ["mean", *map(language_name, languages)],
            title,
            angle=-40,
        ),
        width="content",
    )
    st.caption(
        f"{task}, in points, mean over seeds; colour: from the lowest to the highest of each language. "
        + (
            "Zero-shot: fine-tuned on English only unless the task says otherwise. "
            if view != "score"
            else ""
        )
        + "A row's mean is shown only where it was scored in every language."
        + (f" In brackets: {AT_GUESSING}." if guessed.any() else "")
    )


def _tested(ranking: Ranking, task: str) -> None:
    """A link to the ranking of each language, where families and rows are compared by a test."""
    cells = ranking.cells[ranking.cells["task"] == task]
    suite = str(cells["suite"].iloc[0])
    st.markdown("**Which family is ahead in one language, tested:**")
    with st.container(horizontal=True, gap="small"):
        for code in sorted(map(str, cells["language"].unique()), key=language_name):
            link("ranking", language_name(code), suite=suite, lang=language_name(code))


def _seen(rows: pd.DataFrame, labels: pd.Series, students: pd.Series) -> None:
    """Scores in languages of the corpus of distillation, and in others."""
    st.subheader("Languages seen and unseen in distillation")
    named = {str(row): str(name) for row, name in labels.items()}
    for sentence in seen_sentences(rows, named, {str(row): int(n) for row, n in students.items()}):
        st.markdown(sentence)
    both = rows.dropna(subset="loss").sort_values("unseen", ascending=False)
    if both.empty:
        return
    st.dataframe(
        pd.DataFrame(
            {
                "configuration": both["row"].map(labels),
                "seen": (100 * both["seen"]).round(1),
                "unseen": (100 * both["unseen"]).round(1),
                "loss": (100 * both["loss"]).round(1),
                "seeds": both["row"].map(students),
                "seen in": both["seen_in"],
                "unseen in": both["unseen_in"],
            }
        ),
        hide_index=True,
        width="stretch",
    )


def _best(scores: pd.DataFrame, labels: pd.Series, students: pd.Series) -> None:
    """The highest mean in each language, of rows whose students are all there."""
    if scores.empty:
        return
    with st.expander("Highest mean by language"):
        known = scores.dropna(axis="columns", how="all")
        best = known.idxmax()
        shown = pd.DataFrame(
            {
                "language": [language_name(str(code)) for code in known.columns],
                "configuration": best.map(labels).to_numpy(),
                "points": (100 * known.max()).round(1).to_numpy(),
                "seeds": best.map(students).to_numpy(),
            }
        )
        st.dataframe(shown, hide_index=True, width="stretch")
        st.caption(
            "Of complete rows, means over seeds; not tested: another seed may give another order, and of many languages "
            "some are led by luck. The ranking tests the mean over languages."
        )
