"""Retrieval: for each row, its counterpart among the rows of another language. Nothing is trained."""

from __future__ import annotations

from harness.kinds.kind import KINDS, UntrainedKind


class Retrieval(UntrainedKind):
    """Labels and predictions are positions among the candidates: mean-pooled states, nearest by cosine."""

    name = "retrieval"
    compares = ("retrieval", "classification")
    has_labels = False
    evaluator = "harness.trials.retrieve:retrieve"
    typical_rows = 100
    hub_task = "text-retrieval"


KINDS.register(Retrieval.name, Retrieval())
