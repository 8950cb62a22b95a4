"""Faults made on purpose, and what must hold afterwards. Every module is a command of its own:

    python -m benchmarks.faults.kill_driver     kill -9 of the driver at random moments
    python -m benchmarks.faults.kill_workers    kill -9 of its processes, the dispatcher's among them
    python -m benchmarks.faults.full_disk       a file system that fills up while a plan runs (as root)
    python -m benchmarks.faults.memory_limit    a trial that outgrows its memory beside trials that do not (as root)
    python -m benchmarks.faults.fuzz_specs      damaged specs
    python -m benchmarks.faults.hostile_files   bundles, checkpoints and models made to do harm
    python -m benchmarks.faults.soak            hundreds of trials, the driver's memory watched

`--count` says how often, `--seed` which random faults. Each prints a line of figures and leaves with 1 where
a claim failed, naming it. `tests/faults` runs a few of each."""
