"""A trial's title names its settings."""

from __future__ import annotations

import pytest

from harness.records.trial import Trial


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        (
            {"method": "od", "task": "snli", "learning_rate": "0.0002", "epochs": "1", "seed": "1"},
            "finetune od snli, lr 0.0002, 1 epoch, seed 1",
        ),
        ({"method": "od", "epochs": "3"}, "finetune od, 3 epochs"),
        ({"student": "2l-96", "finetune_seed": "0"}, "finetune 2l-96, fine-tuning seed 0"),
        ({}, "finetune"),
    ],
)
def test_settings_are_named_after_the_subject(labels: dict[str, str], title: str) -> None:
    assert Trial.model_construct(kind="finetune", labels=labels).title == title
