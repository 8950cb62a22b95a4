"""Fine-tuning on the reached rows of an embedding table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from harness.models.classify import Classifier, build_classifier
from harness.models.loaded import LoadedModel
from harness.models.reached import keep_reached
from harness.training.optimise import LinearSchedule, Optimiser

IDS = torch.tensor([[2, 9, 11, 9, 3], [2, 14, 3, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def classifier(teacher: LoadedModel) -> Classifier:
    return build_classifier(teacher, 3, dropout=0.0, seed=1)


def train(model: Classifier, steps: int) -> None:
    optimiser = Optimiser(
        model.named_parameters(),
        schedule=LinearSchedule(1e-2, 2, steps),
        betas=(0.9, 0.999),
        epsilon=1e-8,
        weight_decay=0.1,
        clip_norm=1.0,
    )
    for step in range(steps):
        torch.nn.functional.cross_entropy(model(IDS, MASK), torch.tensor([0, 2])).backward()
        optimiser.step(step)


def test_a_run_on_the_reached_rows_ends_where_the_whole_table_does(teacher: LoadedModel) -> None:
    whole, kept = classifier(teacher), classifier(teacher)
    keep_reached(kept.model, np.append(IDS.numpy().ravel(), 12))
    train(whole, 8)
    train(kept, 8)
    unseen = torch.tensor([[2, 12, 3, 1, 1]])  # predicted, never trained on: it decays all the same
    for ids in (IDS, unseen):
        torch.testing.assert_close(
            kept(ids, MASK[: len(ids)]), whole(ids, MASK[: len(ids)]), rtol=1e-5, atol=1e-6
        )


def test_only_the_reached_rows_are_held(teacher: LoadedModel) -> None:
    model: PreTrainedModel = classifier(teacher).model
    keep_reached(model, IDS.numpy())
    assert model.get_input_embeddings().weight.shape[0] == len(IDS.unique())


def test_an_id_that_was_not_named_is_refused(teacher: LoadedModel) -> None:
    model = classifier(teacher)
    keep_reached(model.model, IDS.numpy())
    with pytest.raises(IndexError):
        model(torch.tensor([[2, 15, 3]]), None)
