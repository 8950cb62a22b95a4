"""CamemBERT (Martin et al., 2020): RoBERTa in French, under a `model_type` of its own."""

from __future__ import annotations

from harness.families.roberta import Roberta


class CamemBert(Roberta):
    """RoBERTa's layers, head and positions."""
