"""Costs of the harness, measured side by side with plain PyTorch and with its peers.

`make bench` (python -m benchmarks) runs every subject in a process of its own and writes RESULTS.md and results.json
here; `python -m benchmarks.cohort --quick` runs one, on models small enough for a smoke test.

    conditions.py   what all sides of a comparison share, and the command line of a subject
    timing.py       sides in turn (A B A B ...), medians, ratios
    memory.py       peak memory of one side, in a process of its own
    rows.py         a target, what was reached, met or not; tables
    world.py        a teacher with random weights, a corpus, trials of the harness on them
    engine.py       the harness's own training, one step at a time
    plain.py        each method's step as its paper would write it
    brewer.py       the same with TextBrewer

Subjects: steps, outputs, relation_loss, cohort, teacher_pass, finetuning, orchestration, planning, growth, quickstart.
A subject is a module with `run(conditions)`, which yields rows.
"""
