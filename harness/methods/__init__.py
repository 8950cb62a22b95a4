"""Transfer methods: weighted sums of loss terms on what teacher and student compute for one batch.

    terms/      parameters of each term, as YAML declares them (no torch)
    losses/     its computation, in the module of the same name
    mappings/   which teacher layers each student layer learns from
    numerics/   arithmetic that several losses share
    term.py     what all parameters share    loss.py        what all computations share
    layer.py    how a spec names a layer     objective.py   the weighted sum of a method's terms

What runs the models, trains the student or reads YAML does not belong here. docs/methods.md defines every term.
"""
