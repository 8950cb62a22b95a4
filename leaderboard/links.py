"""Links from one page to another, which keep the suite that is shown."""

from __future__ import annotations

from typing import Any

import streamlit as st


def link(page: str, label: str, icon: str | None = None, **query: Any) -> None:
    """A link to a page of the leaderboard; its label alone where the page stands by itself."""
    pages = st.session_state.get("pages", {})
    if page in pages:
        suite = st.query_params.get("suite")
        kept = {"suite": suite} if suite else {}
        st.page_link(pages[page], label=label, icon=icon, query_params=kept | query)
    else:
        st.markdown(label)
