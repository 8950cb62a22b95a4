"""When results were obtained, and by which commits, as their trials recorded."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.results.store import Store


def days_and_commits(store: Store) -> str:
    """`2026-11-30 to 2026-12-01, commit 4bd9579`; empty where no trial has ended."""
    found = store.frame(
        "SELECT min(started_at) AS first, max(finished_at) AS last, "
        "list_sort(list_distinct(list(left(provenance ->> '$.commit', 7)))) AS commits "
        "FROM trials WHERE finished_at IS NOT NULL"
    ).iloc[0]
    if not found["last"] > 0:
        return ""
    days = sorted({_day(found["first"]), _day(found["last"])})
    commits = [] if found["commits"] is None else list(found["commits"])
    named = (
        f"{'commit' if len(commits) == 1 else 'commits'} {', '.join(commits)}"
        if commits
        else "commit not recorded"
    )
    return f"{' to '.join(days)}, {named}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
