"""A benchmark harness for task-agnostic knowledge distillation of Transformer encoders.

Five nouns, each a place in this tree: a *spec* (`harness.spec`) is expanded by `harness.plan` into *trials*
(`harness.trials.run`), which `harness.schedule` places on machines; each leaves a *result* (`harness.records.trial`) that
`harness.results` stores and ranks and the `leaderboard` package shows. Nothing later is imported by anything earlier.
"""

__version__ = "0.1.0"
