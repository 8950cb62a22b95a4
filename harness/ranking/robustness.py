"""Where scores are lost: on rows of rare words, and in languages that a student was not distilled on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import pandas as pd

from harness.results.store import Store


def rarity_frame(store: Store) -> pd.DataFrame:
    """config_id, task, quarter, value, low, high, rows, n: the reported scores of chosen settings by quarter of split
    words; languages and metrics are averaged first, then trials, of which n have every quarter that any has."""
    rows = store.frame(
        """SELECT t.config_id, t.trial_id, r.task, r.quarter, avg(r.value) AS value, min(r.low) AS low,
                  max(r.high) AS high, sum(r.n) AS rows
           FROM rarity r JOIN trials t USING (trial_id)
           WHERE t.status = 'ok' AND t.selected AND t.milestone IS NULL AND r.value IS NOT NULL
           GROUP BY ALL ORDER BY ALL"""
    )
    return rows.groupby(["config_id", "task", "quarter"], as_index=False).agg(
        value=("value", "mean"),
        low=("low", "min"),
        high=("high", "max"),
        rows=("rows", "max"),
        n=("value", "size"),
    )


def rarity_sentence(rows: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Who is best where words are rarest, and who loses least from the commonest; `rows` are those of one task."""
    wide = rows.pivot(index="config_id", columns="quarter", values="value")
    if wide.shape[1] < 2:
        return "All rows have the same share of split words: rarity cannot be compared."
    first, last = wide.columns.min(), wide.columns.max()
    both = wide[[first, last]].dropna()
    if len(both) < 2:
        return "Fewer than two configurations have scores by rarity: nothing can be compared."
    best, common = str(both[last].idxmax()), str(both[first].idxmax())
    lost = both[first] - both[last]
    least = str(lost.idxmin())
    n = int(rows.loc[rows["config_id"].isin(both.index), "n"].min())
    elsewhere = "as it has" if best == common else f"{labels[common]}"
    return (
        f"Where most words are split, {labels[best]} has the highest mean ({100 * both[last].loc[best]:.1f} points), "
        f"{elsewhere} on the rows with fewest; {labels[least]} loses least between the two "
        f"({100 * lost.loc[least]:.1f}; the mean of all is {100 * lost.mean():.1f}). n = {n} or more trials a configuration"
        f"{': one decides nothing' if n < 2 else ''}."
    )


def distilled_on(store: Store) -> dict[str, frozenset[str]]:
    """config_id -> languages of the text that its students were distilled on."""
    rows = store.frame(
        "SELECT config_id, any_value(config -> '$.corpus.texts') AS texts FROM trials WHERE kind = 'distil' "
        "AND json_array_length(config -> '$.method.objective') > 0 GROUP BY 1"
    )
    return {
        str(row.config_id): frozenset(text["language"] for text in json.loads(str(row.texts)))
        for row in rows.itertuples()
    }


def by_seen(
    scores: pd.DataFrame, seen: Mapping[str, Collection[str]], leave_out: Collection[str] = ("en",)
) -> pd.DataFrame:
    """row, seen, unseen, loss, n_seen, n_unseen: means over languages. `scores`: row × language; `seen`: row ->
    languages of its corpus. `leave_out`: languages that are fine-tuned on, which would flatter either side."""
    found = []
    for row, values in scores.drop(columns=[*leave_out], errors="ignore").iterrows():
        known = values.dropna()
        if str(row) in seen and len(known):
            inside = known.index.isin(list(seen[str(row)]))
            found.append(
                {
                    "row": str(row),
                    "seen": known[inside].mean(),
                    "unseen": known[~inside].mean(),
                    "n_seen": int(inside.sum()),
                    "n_unseen": int((~inside).sum()),
                }
            )
    frame = pd.DataFrame(found, columns=["row", "seen", "unseen", "n_seen", "n_unseen"])
    return frame.assign(loss=frame["seen"] - frame["unseen"])


def seen_sentence(rows: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """How much is lost in languages that were not distilled on; `rows` as `by_seen` gives them."""
    both = rows.dropna(subset="loss")
    if both.empty:
        return (
            "Seen and unseen languages cannot be compared: no student was distilled on some of the evaluated "
            "languages and not on others. A spec whose `grid.language` lists fewer languages than its task would tell."
        )
    best = both.iloc[int(both["unseen"].argmax())]
    return (
        f"In languages that were not distilled on, {labels[best['row']]} has the highest mean "
        f"({100 * best['unseen']:.1f} points, {100 * best['seen']:.1f} in those that were; English left out); the mean loss "
        f"of {len(both)} configurations is {100 * both['loss'].mean():.1f} points. The two groups are different languages, "
        "so that a difference may be the languages' own."
    )
