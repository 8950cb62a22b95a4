"""Labelled data to evaluate on: from a task's files to rows, token ids and scores.

What belongs here: what is done with rows whatever kind of task they are of. What does not: what is particular to a kind
(`harness.kinds`), how files of a format are read (`harness.formats`), and training on rows (`harness.trials`).

task_data.py   rows of each split and language, and the choice of fewer
row_frames.py  cached frames of rows
layout.py      where a task's files are and how they are written, without pandas
labels.py      label values to classes or numbers, by name
encoded.py     rows as token ids, padded batches, the order of an epoch
scoring.py     predictions to scores with their flags, and the file of predictions
shared_rows.py rows that are scored and trained on: counted, or refused
sizes.py       how many rows a task has on this machine and how long they are, for estimates
"""
