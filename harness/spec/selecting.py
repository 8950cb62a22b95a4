"""Checks of `select:` in a spec: its axes exist, and every method is tried at the same settings of them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.registry import did_you_mean
from harness.spec.grid import Cell, init_label
from harness.spec.resolve import ResolvedSpec
from harness.spec.yaml.source import Complaint

Setting = tuple[object, ...]


def select_complaints(resolved: ResolvedSpec, cells: list[Cell]) -> Iterator[Complaint]:
    """Axes that the grid does not have, and combinations that are tried at fewer settings than others."""
    select = resolved.spec.select
    if select is None:
        return
    axes = [f"distil.{name}" for name in resolved.spec.grid.distil_axes]
    unknown = [(index, name) for index, name in enumerate(select.over) if name not in axes]
    for index, name in unknown:
        known = (
            did_you_mean(name, axes)
            if axes
            else "it has no `distil.` axis, e.g. `distil.learning_rate: [1e-3, 3e-3]`"
        )
        yield Complaint(
            resolved.mark(("select", "over", index)), f"the grid has no axis {name!r} to select over; {known}"
        )
    if not unknown:
        yield from _unequal(resolved, cells, select.over)


def _unequal(resolved: ResolvedSpec, cells: list[Cell], over: tuple[str, ...]) -> Iterator[Complaint]:
    """The best of more settings is better by chance alone, so every method needs the same ones."""
    tried: dict[tuple[str, ...], set[Setting]] = {}
    for cell in cells:
        if cell.method.entry.objective:
            tried.setdefault(_names(cell), set()).add(_setting(cell, over))
    everything = set().union(*tried.values())
    for names, settings in tried.items():
        missing = sorted(everything - settings, key=str)
        if missing:
            shown = "; ".join(", ".join(map(str, setting)) for setting in missing)
            yield Complaint(
                resolved.mark(("select",)),
                f"{', '.join(names)} is not tried at {', '.join(over)} {shown}, as others are: the best of fewer settings "
                "cannot be compared; give every method the same settings, or none of them",
            )


def _names(cell: Cell) -> tuple[str, ...]:
    recipe = (cell.language.name, cell.teacher.name, cell.student.entry.name, cell.method.entry.name)
    return (*recipe, init_label(cell.init.init))


def _setting(cell: Cell, over: tuple[str, ...]) -> Setting:
    return tuple(getattr(cell.recipe, name.removeprefix("distil.")) for name in over)
