"""Arithmetic that several losses share: matrix products and softmaxes in parts that fit into a cache, gradients made with
their values, and projections to the teacher's width.

Nothing here knows a method, a layer mapping or a parameter model other than the kinds of projection.
"""
