"""What a model is worth: fine-tuning on labelled tasks, cross-lingual retrieval, predictions and the scores that follow.
Sizes and times are measured in `harness.measure`; choosing among settings and ranking belong to `harness.results`.
"""
