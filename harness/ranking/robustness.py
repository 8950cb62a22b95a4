"""Where scores are lost: on rows of rare words, and in languages that a student was not distilled on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import pandas as pd

from harness.ranking.cells.table import Ranking
from harness.ranking.render.text import students_in_words
from harness.results.store import Store

NOT_TESTED = "Not tested ({n}): another seed may give another order."
"""How a sentence ends that compares means without a test."""


def rarity_frame(store: Store) -> pd.DataFrame:
    """model_key, task, language, protocol, quarter, value, low, high, rows: the reported scores of chosen settings by
    quarter of split words; metrics are averaged first, then fine-tuning seeds."""
    return store.frame(
        """SELECT model_key, task, language, protocol, quarter, avg(value) AS value, min(low) AS low, max(high) AS high,
                  max(rows) AS rows
           FROM (SELECT t.model_key, t.trial_id, t.protocol, r.task, r.language, r.quarter, avg(r.value) AS value,
                        min(r.low) AS low, max(r.high) AS high, min(r.n) AS rows
                 FROM rarity r JOIN evaluations t USING (trial_id)
                 WHERE t.status = 'ok' AND t.selected AND r.value IS NOT NULL GROUP BY ALL)
           GROUP BY ALL ORDER BY ALL"""
    )


def by_rarity(scores: pd.DataFrame, ranking: Ranking) -> pd.DataFrame:
    """config_id, task, quarter, value, low, high, rows, n: what `rarity_frame` holds of the scores of a ranking's
    students. Languages are averaged first (their rows added), then students, of which n have the quarter."""
    keys = ["model_key", "task", "language", "protocol"]
    cells = ranking.cells[[*keys, "row_id"]].astype(dict.fromkeys((*keys, "row_id"), str))
    whole = ranking.students[["model_key", "task"]].astype(str).drop_duplicates()
    mine = (
        scores.astype(dict.fromkeys(keys, str)).merge(cells, on=keys).merge(whole, on=["model_key", "task"])
    )
    students = mine.groupby(["row_id", "model_key", "task", "quarter"], as_index=False).agg(
        value=("value", "mean"), low=("low", "min"), high=("high", "max"), rows=("rows", "sum")
    )
    shown = students[students["row_id"].isin(ranking.ranked["config_id"])]
    return (
        shown.groupby(["row_id", "task", "quarter"], as_index=False)
        .agg(
            value=("value", "mean"),
            low=("low", "min"),
            high=("high", "max"),
            rows=("rows", "max"),
            n=("value", "size"),
        )
        .rename(columns={"row_id": "config_id"})
    )


def rarity_sentence(rows: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Who scores highest where words are rarest, and who loses least from the commonest; `rows` are those of one task
    and of complete configurations."""
    if rows["quarter"].nunique() == 1:
        return "All rows have the same share of split words: rarity cannot be compared."
    wide = rows.pivot(index="config_id", columns="quarter", values="value")
    both = wide[[wide.columns.min(), wide.columns.max()]].dropna() if len(wide) else wide
    if len(both) < 2:
        return "Fewer than two complete configurations have scores by rarity: nothing can be compared."
    first, last = both.columns
    best, common = str(both[last].idxmax()), str(both[first].idxmax())
    lost = both[first] - both[last]
    least = str(lost.idxmin())
    elsewhere = "as it has" if best == common else f"{labels[common]}"
    n = students_in_words(rows.loc[rows["config_id"].isin(both.index), "n"])
    return (
        f"Where most words are split, {labels[best]} has the highest mean ({100 * both[last].loc[best]:.1f} points), "
        f"{elsewhere} on the rows with fewest; {labels[least]} loses least between the two "
        f"({100 * lost.loc[least]:.1f}; the mean of all is {100 * lost.mean():.1f}). {NOT_TESTED.format(n=n)}"
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
    """row, seen, unseen, loss, seen_in, unseen_in: means over languages, and which those are. `scores`: row × language;
    `seen`: row -> languages of its corpus. `leave_out`: languages that are fine-tuned on, which would flatter either
    side. Rows without a score in each language are left out."""
    found = []
    for row, values in scores.drop(columns=[*leave_out], errors="ignore").iterrows():
        if str(row) not in seen or values.isna().any():
            continue
        inside = values.index.isin(list(seen[str(row)]))
        found.append(
            {
                "row": str(row),
                "seen": values[inside].mean(),
                "unseen": values[~inside].mean(),
                "seen_in": ", ".join(values.index[inside]),
                "unseen_in": ", ".join(values.index[~inside]),
            }
        )
    frame = pd.DataFrame(found, columns=["row", "seen", "unseen", "seen_in", "unseen_in"])
    return frame.assign(loss=(frame["seen"] - frame["unseen"]).astype(float))


def seen_sentences(rows: pd.DataFrame, labels: Mapping[str, str], students: Mapping[str, int]) -> list[str]:
    """How much is lost in languages that were not distilled on, one sentence for each set of those; `rows` as `by_seen`
    gives them, of complete configurations; `students`: row -> how many it is the mean of."""
    both = rows.dropna(subset="loss")
    if both.empty:
        return [
            "Seen and unseen languages cannot be compared: no complete configuration was distilled on some of the evaluated "
            "languages and not on others. A spec whose `grid.language` lists fewer languages than its task would tell."
        ]
    groups = sorted(both.groupby("unseen_in"), key=lambda group: (-len(group[1]), group[0]))
    return [_seen_sentence(group, labels, students) for _, group in groups]


def _seen_sentence(group: pd.DataFrame, labels: Mapping[str, str], students: Mapping[str, int]) -> str:
    """Of rows that lack the same languages."""
    best = group.iloc[int(group["unseen"].argmax())]
    scored = f"{100 * best['unseen']:.1f} points, {100 * best['seen']:.1f} in {best['seen_in']}, which were"
    n = students_in_words(group["row"].map(students))
    if len(group) == 1:
        what = f"{labels[best['row']]} scores {scored}, and is alone in that"
    else:
        what = (
            f"{labels[best['row']]} has the highest mean ({scored}); the mean loss of {len(group)} configurations is "
            f"{100 * group['loss'].mean():.1f} points"
        )
    return (
        f"In {best['unseen_in']}, which were not distilled on, {what}; English left out. The two groups are different "
        f"languages, so a difference may be the languages' own. {NOT_TESTED.format(n=n)}"
    )
