"""The computation of each term: a module holds the loss whose parameters stand in the module of the same name in
`harness.methods.terms`.

A loss reads activations of teacher and student and returns the sum over what it counts; it never divides by the size
of the batch, runs a model or takes a step. Needs torch, so it is imported only where something trains.
"""
