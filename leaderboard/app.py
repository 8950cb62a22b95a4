"""The leaderboard: `harness leaderboard [--db PATH]`, or `streamlit run leaderboard/app.py [-- --db PATH]`.

Reads the results database and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

if str(Path(__file__).resolve().parent.parent) not in sys.path:
    sys.path.insert(
        0, str(Path(__file__).resolve().parent.parent)
    )  # run from a checkout that is not installed

from leaderboard.views import (
    compare,
    languages,
    mappings,
    published,
    ranking,
    runs,
    tasks,
    tradeoff,
    trial,
    why,
)

PAGES = {
    "Results": [
        st.Page(
            ranking.page, title="Ranking", icon=":material/leaderboard:", url_path="ranking", default=True
        ),
        st.Page(tasks.page, title="Tasks", icon=":material/checklist:", url_path="tasks"),
        st.Page(languages.page, title="Languages", icon=":material/translate:", url_path="languages"),
        st.Page(mappings.page, title="Layer mappings", icon=":material/stacks:", url_path="mappings"),
        st.Page(why.page, title="Why", icon=":material/psychology_alt:", url_path="why"),
        st.Page(tradeoff.page, title="Trade-off", icon=":material/speed:", url_path="tradeoff"),
        st.Page(compare.page, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        st.Page(published.page, title="Published", icon=":material/menu_book:", url_path="published"),
    ],
    "Trials": [
        st.Page(runs.page, title="Runs", icon=":material/monitoring:", url_path="runs"),
        st.Page(trial.page, title="Trial", icon=":material/science:", url_path="trial"),
    ],
}

STYLE = """
<style>
  .block-container { padding: 2.2rem 2.5rem 3rem; max-width: 1280px; }
  @media (max-width: 640px) { .block-container { padding: 3rem 1rem; } }
  [data-testid="stMetricValue"], [data-testid="stMarkdown"], table, .answer {
    font-variant-numeric: tabular-nums;
  }
  .answer {
    font-size: 1.12rem; line-height: 1.5; padding: .1rem 0 .4rem .9rem; border-left: 3px solid var(--c);
  }
  .answer + .answer { font-size: .98rem; opacity: .85; margin-top: .35rem; }
  [data-testid="stElementContainer"]:has([data-testid="stVegaLiteChart"]) { overflow-x: auto; }
  abbr { text-decoration: underline dotted; text-underline-offset: .2em; cursor: help; }
  [data-testid="stCaptionContainer"] { color: inherit !important; opacity: .8; }
  .meta { opacity: .75; font-size: .86rem; line-height: 1.5; }
</style>
"""

st.set_page_config(
    page_title="Distillation leaderboard",
    page_icon=str(Path(__file__).with_name("favicon.svg")),
    layout="wide",
)
st.html(STYLE)
st.session_state["pages"] = {page.url_path or "ranking": page for group in PAGES.values() for page in group}
st.navigation(PAGES).run()
