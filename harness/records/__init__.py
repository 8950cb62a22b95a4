"""What a trial is and what it leaves behind: the models of the files in `runs/<id>/`, and nothing that makes them.

    trial.py      trial.json: job, data, parents, and the id that follows from them
    encoder.py    which models have the same encoder
    result.py     result.json and the lines of progress.jsonl
    folder.py     paths of a trial's folder; reading and writing its records
    reading.py    versions of the code that reads corpora and tasks
    latest.py     the trials that ended last
    machine.py    the measured speed of a machine

Everything after the plan reads and writes these models. Expanding a spec into trials belongs to `harness.plan`, running
them to `harness.trials`, indexing folders to `harness.results`. Nothing here loads torch."""
