"""Distillation losses: one module a family of terms, `base` for their contract, `objective` for their
weighted sum.

What a term is called and how it is declared lives in `harness.methods.terms`; this package computes it, and
needs torch.
"""
