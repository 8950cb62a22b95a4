"""Kinds of task: everything that differs between classification, regression, retrieval and whatever comes
next, in one object each.

A task file's `type:` names a kind, and every other room asks that object (`Task.kind`) instead of comparing names:
what a task file must hold, how labels are read, which head and loss train, how outputs become predictions, what a
score means and how it is reported. A new kind is one module and one registration, here or in an installed package
(entry point group `harness.kinds`); docs/adding-a-kind-of-task.md walks through one. What does not belong here:
reading task files (`harness.tasks`), training and predicting (`harness.trials`). Nothing here imports torch, since
specs are validated with it.

kind.py                   the base classes and the registry `KINDS`
classification.py         one class per row
regression.py             one number per row
token_classification.py   one tag per word
retrieval.py              the counterpart of each row in another language; trains nothing
metrics.py                metrics by name: predictions and labels to a number
entities.py               metrics of tagged words
chance.py                 whether a score is better than guessing, or suspiciously worse
"""

from harness.kinds.classification import Classification
from harness.kinds.kind import KINDS, FineTunedKind, TaskKind, UntrainedKind
from harness.kinds.regression import Regression
from harness.kinds.retrieval import Retrieval
from harness.kinds.token_classification import TokenClassification

__all__ = [
    "KINDS",
    "Classification",
    "FineTunedKind",
    "Regression",
    "Retrieval",
    "TaskKind",
    "TokenClassification",
    "UntrainedKind",
]
