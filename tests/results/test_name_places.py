"""Names on a trade-off lie neither over one another nor over the points of other stacks, however narrow the chart is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ranking.render.name_places import BESIDE, LETTER, LINE, extent, placed_names

HEIGHT = 460


def _points(costs: list[float], points: list[float]) -> pd.DataFrame:
    rows = len(costs)
    return pd.DataFrame(
        {
            "label": [f"a-method-with-a-name-{index} · {cost:g}L-384" for index, cost in enumerate(costs)],
            "student": [f"{cost:g}L-384" for cost in costs],
            "family": ["HS"] * rows,
            "n": [1 + index % 3 for index in range(rows)],
            "cost": costs,
            "points": points,
            "from_": np.subtract(points, 1.0),
            "to": np.add(points, 1.0),
        }
    )


def _boxes(shown: pd.DataFrame, width: int) -> list[tuple[float, float, float, float]]:
    """Left, right, bottom and top of each name, in pixels."""
    within = extent(shown)
    names = placed_names(shown, within, width, HEIGHT)
    left = within.across(names["name_cost"]) * width + BESIDE
    middle = (names["name_at"] - within.bottom) / within.span * HEIGHT
    return [
        (x, x + len(name) * LETTER, y - LINE / 2, y + LINE / 2)
        for x, y, name in zip(left, middle, names["name"], strict=True)
    ]


@pytest.mark.parametrize("width", [280, 480, 880])
@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([3.3, 4.0, 9.6, 13.0, 26.5, 212.0]), st.floats(30, 90)),
        min_size=1,
        max_size=40,
    )
)
def test_no_name_lies_over_another_or_over_a_point_beside_its_stack(
    width: int, rows: list[tuple[float, float]]
) -> None:
    shown = _points([cost for cost, _ in rows], [points for _, points in rows])
    boxes = _boxes(shown, width)
    for index, (left, right, low, high) in enumerate(boxes):
        assert right <= width
        for other_left, other_right, other_low, other_high in boxes[:index]:
            apart = left >= other_right or other_left >= right
            assert apart or low >= other_high - 1e-6 or other_low >= high - 1e-6
        points = extent(shown).across(shown["cost"]) * width
        assert not ((points > left) & (points < right)).any()


def test_every_stack_is_named_by_its_best() -> None:
    shown = _points([3.0] * 20 + [9.0] * 2, [*range(50, 70), 71, 72])
    names = placed_names(shown, extent(shown), 880, HEIGHT)
    assert names["name"].iloc[0].startswith("a-method-with-a-name-19 · 3L-384")
    assert "and 7 more below" in set(names["name"])
    assert names["name"].str.startswith("a-method-with-a-name-21").sum() == 1
