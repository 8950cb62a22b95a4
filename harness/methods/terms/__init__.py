"""The terms of an objective as YAML declares them: one parameter model each. Imports no torch.

A model says what its term is (`formula`), checks itself against the shapes of teacher and student (`problems`), and
names the class in `harness.methods.losses` that computes it (`implementation`). docs/methods.md defines each term.
"""

from harness.methods.layer import FromEnd, Layer, resolve_layer
from harness.methods.term import TERMS, TermParams
from harness.methods.terms.attention import AttentionProbs, AttentionScores
from harness.methods.terms.cosine import Cosine
from harness.methods.terms.embeddings import Embeddings
from harness.methods.terms.hidden_states import HiddenStates
from harness.methods.terms.logits import Logits
from harness.methods.terms.mlm import Mlm
from harness.methods.terms.qkv import Qkv
from harness.methods.terms.relations import Relations

__all__ = [
    "TERMS",
    "AttentionProbs",
    "AttentionScores",
    "Cosine",
    "Embeddings",
    "FromEnd",
    "HiddenStates",
    "Layer",
    "Logits",
    "Mlm",
    "Qkv",
    "Relations",
    "TermParams",
    "resolve_layer",
]
