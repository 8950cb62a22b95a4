"""Encoders: what size they are, where they come from, how they are built, tapped, measured and exported.

Four families of Transformer encoders (BERT, RoBERTa, XLM-R, DistilBERT) are read through transformers' own
classes; what tells them apart stands in `families`. Losses, training loops and data live elsewhere. `shapes`
and `flops` import no torch."""
