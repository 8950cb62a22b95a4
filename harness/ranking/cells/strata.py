"""Strata: configurations that differ in their method alone, and how much was trained on what in each.

Two configurations share a stratum where the teacher (its weights, prepared or not), corpus, languages, student shape,
initialisation, steps, batch, length and corruption of the input are the same. Learning rates and what else
belongs to a method's recipe may differ: they are chosen for each method. Families are compared within a
stratum only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from harness.base import digest
from harness.counted import counted
from harness.ranking.cells.settings import Settings

ASPECTS: dict[str, tuple[str, ...]] = {
    "teacher": ("teacher.", "data.teacher."),
    "corpus": ("corpus.", "data.corpus."),
    "student": ("student.layers", "student.width", "student.heads", "student.ffn"),
    "init": ("init.", "data.init."),
    "steps": ("steps",),
    "batch_size": ("batch_size",),
    "length": ("length",),
    "input": ("input", "mlm_probability"),
    "milestone": ("milestone",),
}
"""Aspect -> the settings that make it: paths, or their starts where these end in a dot."""
AMOUNT = ("steps", "batch_size", "length")
"""Aspects that are said together: `2,000 steps of 32 × 128 tokens`."""


def strata_of(
    settings: Mapping[str, Settings], read: Mapping[str, Mapping[str, str]], models: pd.DataFrame
) -> pd.DataFrame:
    """By row_id, one column per aspect with a digest of what is the same within a stratum, and `stratum` with
    one of all; rows that were not distilled here have none.

    `settings`: row_id to flat settings; `read`: row_id to the identity of the data that was read; `models`: as in
    `Frames`.
    """
    first = models.drop_duplicates("row_id").set_index("row_id")[["role", "milestone"]]
    known: dict[tuple[object, ...], str] = {}
    rows = {}
    for row, role, milestone in first.itertuples():
        if role != "student" or row not in settings:
            continue
        data = {f"data.{name.replace('/', '.')}.": value for name, value in read.get(row, {}).items()}
        whole = {**settings[row], **data, "milestone": None if pd.isna(milestone) else int(milestone)}
        aspects = {name: _digest(_part(whole, name), known) for name in ASPECTS}
        rows[row] = aspects | {"stratum": digest(list(aspects.values()))}
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*ASPECTS, "stratum"])


def _part(whole: Settings, aspect: str) -> tuple[object, ...]:
    """The settings of one aspect; the share of corrupted positions says nothing where the input is clean."""
    starts = ASPECTS[aspect]
    if aspect == "input" and whole.get("input") == "clean":
        starts = ("input",)
    prefixes = tuple(start for start in starts if start.endswith("."))
    return tuple(
        item
        for path, value in sorted(whole.items())
        if path in starts or path.startswith(prefixes)
        for item in (path, value)
    )


def _digest(part: tuple[object, ...], known: dict[tuple[object, ...], str]) -> str:
    """Equal parts are many, and hashed once."""
    if part not in known:
        known[part] = digest([str(item) for item in part])
    return known[part]


def differing_aspects(strata: pd.DataFrame) -> list[str]:
    """Aspects that are not the same in all these rows."""
    return [name for name in ASPECTS if strata[name].nunique() > 1]


def listed(aspects: Iterable[str]) -> str:
    """Aspects for readers: `teacher, steps and batch size`."""
    *first, last = (name.replace("_", " ").replace("init", "initialisation") for name in aspects)
    return f"{', '.join(first)} and {last}" if first else last


def described(row: pd.Series, aspects: Iterable[str], settings: Settings) -> str:
    """What sets a stratum apart in these aspects: `with 2,000 steps of 32 × 64 tokens from minilm-l6 as prepared`.

    `row`: a configuration of it, with student, teacher, language and, if it has one, milestone; `settings`: its own.
    """
    wanted = set(aspects)
    steps = counted(int(str(settings["steps"])), "step")
    amount = f"with {steps} of {settings['batch_size']} × {settings['length']} tokens"
    step = f"at step {int(row['milestone']):,}" if pd.notna(row.get("milestone")) else ""
    parts = [
        f"for {row['student']}" if "student" in wanted else "",
        amount if wanted & set(AMOUNT) else "",
        step if "milestone" in wanted else "",
        f"from {row['teacher']} {prepared_or_shipped(settings)}" if "teacher" in wanted else "",
        f"on text in {row['language']}" if "corpus" in wanted else "",
        f"initialised {initialised(settings)}" if "init" in wanted else "",
        f"on {corrupted(settings)} input" if "input" in wanted else "",
    ]
    return " ".join(part for part in parts if part)


def prepared_or_shipped(settings: Settings) -> str:
    """Whether the teacher was trained here first."""
    return "as shipped" if settings.get("teacher.trial") is None else "as prepared"


def initialised(settings: Settings) -> str:
    """Where the weights started."""
    source = settings.get("init.from")
    if source == "teacher" and settings.get("init.layers") == "random":
        return "from the teacher's embeddings, with random layers"
    if source == "teacher":
        return f"from the teacher's layers ({settings.get('init.layers')})"
    return "at random" if source == "random" else "from a checkpoint"


def corrupted(settings: Settings) -> str:
    """What the models read."""
    if settings.get("input") == "clean":
        return "clean"
    return f"{100 * float(str(settings.get('mlm_probability', 0))):g} % masked"
