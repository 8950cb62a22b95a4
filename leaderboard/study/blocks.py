"""The generated blocks of docs/study.md, by name, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from harness.ranking.analyses import MEASURES, analysed_groups
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.milestones import quality_over_tokens
from harness.ranking.render import text
from leaderboard import figures
from leaderboard.study.claims import claims
from leaderboard.study.drawing import draw, picture
from leaderboard.study.parts import PARTS, Part
from leaderboard.wording import row_labels

FIGURES = "study"
"""Folder of the figures, beside the document."""
MISSING = "*Not measured yet: the board that ships holds no results of this part.*"
MOST_TASKS = 4
README_ROWS = 8
"""Ranked rows of the README's table."""


def blocks(parts: Mapping[str, Part], docs: Path) -> dict[str, str]:
    """Name -> Markdown; figures are written below `docs`."""
    folder = docs / FIGURES
    made = {"state": _state(parts), "claims": _claims(parts), "hours": _hours(parts)}
    for name in PARTS:
        made[name] = "\n\n".join(_results(parts[name], folder)) if name in parts else MISSING
    made["why"] = "\n\n".join(_why(parts, folder)) or MISSING
    return made


def readme_blocks(parts: Mapping[str, Part]) -> dict[str, str]:
    """Name -> Markdown of the README's blocks: every suite of the English part, or of the quickstart where that has not
    been measured, in short. The pictures are those that `blocks` draws."""
    named = next((name for name in ("english", "quickstart") if name in parts), None)
    if named is None:
        return {"board": "The board that ships holds no results yet."}
    part = parts[named]
    suites = [paragraph for suite in part.board.suites() for paragraph in _in_short(part, suite)]
    return {"board": "\n\n".join([part.shipped.sentence(), *suites])}


def _in_short(part: Part, suite: str) -> list[str]:
    lines = [answer.sentence for answer in part.board.answers(Filters(suite=suite))[:2]]
    return [
        "\n".join(f"- {line}" for line in lines),
        picture(f"docs/{FIGURES}/{part.name}-{_file(suite)}", _about(part, suite)),
        _table(part.ranking(suite), README_ROWS),
    ]


def _state(parts: Mapping[str, Part]) -> str:
    if not parts:
        return "**Nothing has been measured yet.** The specs are written; the board that ships is empty."
    lines = ["| part | seeds on the board | what it is |", "|---|---|---|"]
    for part in parts.values():
        seeds = ", ".join(map(str, part.seeds())) or text.NONE
        lines.append(f"| {part.title} | {seeds} | {part.shipped.sentence()} |")
    lines += [f"| {PARTS[name]} | none | not measured yet |" for name in PARTS if name not in parts]
    return "\n".join(lines)


def _claims(parts: Mapping[str, Part]) -> str:
    listed = []
    for number, claim in enumerate(claims(parts), 1):
        listed.append(f"**{number}. {claim.text}** ({claim.source})")
        if claim.evidence:
            listed.append(f"{claim.count}.\n\n" + "\n".join(one.line for one in claim.evidence))
        else:
            listed.append("Undecided: nothing on the board bears on it.")
    return "\n\n".join(listed)


def _hours(parts: Mapping[str, Part]) -> str:
    if not parts:
        return MISSING
    kinds = list(dict.fromkeys(kind for part in parts.values() for kind in part.costs()["kind"]))
    lines = [f"| part | {' | '.join(kinds)} |", "|---|" + "---:|" * len(kinds)]
    for part in parts.values():
        costs = part.costs().set_index("kind")
        cells = [
            f"{costs.loc[kind, 'trials']} · {costs.loc[kind, 'hours']:.1f} h"
            if kind in costs.index
            else text.NONE
            for kind in kinds
        ]
        lines.append(f"| {part.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _results(part: Part, folder: Path) -> Iterator[str]:
    """For each suite: what it says of the families, the table and its picture; then intermediate students."""
    for suite in part.suites:
        ranking = part.ranking(suite)
        yield f"#### {suite}"
        answers = [answer.sentence for answer in part.board.answers(Filters(suite=suite))]
        if answers:
            yield "\n".join(f"- {sentence}" for sentence in answers)
        yield _table(ranking)
        yield _forest(part, ranking, suite, folder)
        yield from _over_tokens(part, suite, folder)


def _table(ranking: Ranking, most: int | None = None) -> str:
    """The ranking, at most so many rows of it, best first, then teachers."""
    tasks = ranking.tasks if 1 < len(ranking.tasks) <= MOST_TASKS else ()
    means = ranking.per_task.set_index(["config_id", "task"])["mean"]
    names = ["rank", "family", "method", "student", "mean ± 95 %", *tasks, "n", "settings and notes"]
    lines = [f"| {' | '.join(names)} |", "|---|---|---|---|---:|" + "---:|" * (len(tasks) + 1) + "---|"]
    for row in pd.concat([ranking.ranked.head(most or len(ranking.ranked)), ranking.references]).to_dict(
        "records"
    ):
        student = row["student"] if text.known(row["student"]) else row["teacher"]
        notes = "; ".join(one for one in (str(row["variant"] or ""), text.notes(row)) if one)
        cells = [
            text.rank_range(row["rank"], row["best_rank"], row["worst_rank"]),
            str(row["family"]),
            text.name(row["method"]),
            text.name(student),
            text.plus_minus(row["mean"], row["low"], row["high"]),
            *(text.points(means.get((row["config_id"], task))) for task in tasks),
            str(row["n"]),
            notes,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _forest(part: Part, ranking: Ranking, suite: str, folder: Path) -> str:
    labels = row_labels(ranking.table)
    rows = ranking.ranked[ranking.ranked["mean"].notna()]
    rows = rows.assign(
        label=rows["config_id"].map(labels),
        rank_text=[text.rank_range(*row) for row in rows[["rank", "best_rank", "worst_rank"]].to_numpy()],
    )
    teacher = ranking.references[ranking.references["mean"].notna()]
    spec = figures.forest(
        rows[["label", "family", "mean", "low", "high", "n", "rank_text"]],
        teacher.assign(label=teacher["config_id"].map(labels))[["label", "mean"]],
        f"{suite}, points, with 95 % intervals over students; dashed: teachers",
    )
    return draw(spec, folder, f"{part.name}-{_file(suite)}", _about(part, suite))


def _about(part: Part, suite: str) -> str:
    return f"Ranking of {part.title} on {suite}: means with intervals, as in the table"


def _over_tokens(part: Part, suite: str, folder: Path) -> Iterator[str]:
    ranking = part.board.ranking(Filters(suite=suite, milestones=True))
    points = quality_over_tokens(ranking, part.board.frames)
    if points.empty:
        return
    labels = row_labels(part.ranking(suite).table)
    shown = points.assign(series=points["config_id"].map(labels))
    spec = figures.quality_over_tokens(shown, f"{suite}, points").to_dict()
    about = f"Scores on {suite} of intermediate students over the tokens that they had seen"
    yield draw(spec, folder, f"{part.name}-{_file(suite)}-tokens", about)


def _why(parts: Mapping[str, Part], folder: Path) -> Iterator[str]:
    """Layers and losses of the analysed students of each part."""
    for part in parts.values():
        for name, group in analysed_groups(part.shipped.store, part.board).items():
            yield f"#### {part.title}: {name}"
            yield "\n".join(f"- {group.layers_sentence(measure)}" for measure in MEASURES)
            spec = figures.layer_heat_maps(group.maps("cka"), MEASURES["cka"]).to_dict()
            about = f"{MEASURES['cka']} between layers of students and of the teacher, by method"
            yield draw(spec, folder, f"{part.name}-{_file(name)}-cka", about)
            yield group.transfer_sentence()
            yield _losses(group.matrix())


def _losses(matrix: pd.DataFrame) -> str:
    """Students × objectives, mean losses."""
    wide = matrix.pivot_table(index="label", columns="objective", values="loss")
    lines = [
        f"| students of | {' | '.join(map(str, wide.columns))} |",
        "|---|" + "---:|" * wide.shape[1],
    ]
    for label, row in wide.iterrows():
        lines.append(f"| {label} | {' | '.join(text.significant(value) for value in row)} |")
    return "\n".join(lines)


def _file(name: str) -> str:
    """A name as part of a file name."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
