"""What `plan`, `validate` and `run` do between a spec's path and its plan: they are the commands that read a spec
together with the data it names. Printing is not done here.

from_spec      from a spec's path to its plan
whole_inputs   whether the data on this machine is whole, reported at the line that names it
overlaps       what the corpora amount to, and that none holds a sentence its tasks are scored on
"""
