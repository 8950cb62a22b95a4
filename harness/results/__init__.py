"""What is made of finished trials: the store they are indexed in, the statistics on their scores, exports,
and where a number came from.

Nothing here runs a model or imports torch. `statistics` is pure functions on frames and knows nothing of the
store; files and the database are touched by the modules named for them only.
"""
