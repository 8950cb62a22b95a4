"""The terms a distillation objective may sum, as declared in YAML: one parameter model each. Imports no
torch.

Each model says what its term is, checks itself against a teacher's and a student's shape (`problems`), and
names the class that computes it (`implementation`), imported only where it trains. Definitions:
docs/methods.md.
"""

from harness.spec.terms.attention import AttentionProbs, AttentionScores, Qkv, Relations
from harness.spec.terms.base import TERMS, TermParams
from harness.spec.terms.layers import FromEnd, Layer, resolve_layer
from harness.spec.terms.output import Logits, Mlm
from harness.spec.terms.states import Cosine, Embeddings, HiddenStates

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
