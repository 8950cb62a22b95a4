"""Which settings set two rows so far apart that their methods are not compared."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.ranking.cells.settings import flattened
from harness.ranking.cells.strata import ASPECTS, differing_aspects, strata_of
from harness.records.trial import DistilJob

from .boards import Board, entries

MODELS = pd.DataFrame({"row_id": ["a", "b"], "role": "student", "milestone": [None, None]})
(JOB,) = [
    trial.job.model_dump(mode="json", by_alias=True)
    for trial, _, _ in entries(Board(methods=("od",), students=("3L-192",), seeds=(1,)))
    if isinstance(trial.job, DistilJob)
]
SETTINGS = flattened(JOB)
THE_METHODS_OWN = (
    "method.", "learning_rate", "warmup_steps", "weight_decay", "betas", "epsilon", "clip_norm", "dropout",
    "precision", "on_nan", "cohort", "milestones", "student.init",
)  # fmt: skip
"""What may differ between methods that are compared: the objective, and what is chosen for each. A student's own start
counts as what it came to, `init`."""


def apart(changed: dict[str, object], read: str = "x") -> list[str]:
    """The aspects in which a row with other settings, or of other data, differs."""
    frame = strata_of(
        {"a": SETTINGS, "b": {**SETTINGS, **changed}}, {"a": {"teacher": "x"}, "b": {"teacher": read}}, MODELS
    )
    found = differing_aspects(frame)
    assert (frame["stratum"].nunique() == 1) == (found == [])
    return found


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_sets_rows_apart_but_the_method_and_what_is_chosen_for_it(path: str) -> None:
    assert (apart({path: "another"}) == []) == path.startswith(THE_METHODS_OWN)


@pytest.mark.parametrize(
    ("changed", "aspect"),
    [
        ({"steps": 7}, "steps"),
        ({"batch_size": 7}, "batch_size"),
        ({"length": 7}, "length"),
        ({"input": "clean"}, "input"),
        ({"init.from": "teacher", "init.layers": "alternate"}, "init"),
        ({"student.width": 7}, "student"),
        ({"corpus.texts.fr.language": "fr"}, "corpus"),
    ],
)
def test_an_aspect_is_named(changed: dict[str, object], aspect: str) -> None:
    assert aspect in ASPECTS
    assert apart(changed) == [aspect]


def test_other_weights_under_the_same_name_set_rows_apart() -> None:
    assert apart({}, read="another") == ["teacher"]


def test_the_share_of_corrupted_positions_counts_only_where_the_input_is_corrupted() -> None:
    assert apart({"mlm_probability": 0.4}) == ["input"]
    clean = {"a": {**SETTINGS, "input": "clean"}, "b": {**SETTINGS, "input": "clean", "mlm_probability": 0.4}}
    assert strata_of(clean, {}, MODELS)["stratum"].nunique() == 1
