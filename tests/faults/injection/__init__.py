"""Fault injection: break a small but real run on purpose, then check what must still hold.

Whatever damages a run, a file or a machine and checks the outcome belongs here; samples of it run in `tests/faults`.
Every module of the first list is a command, run from the root of the repository:

    python -m tests.faults.injection.kill_driver     kill -9 of the driver at random moments
    python -m tests.faults.injection.kill_workers    kill -9 of its processes, the dispatcher's among them
    python -m tests.faults.injection.full_disk       a file system that fills up while a plan runs (as root)
    python -m tests.faults.injection.memory_limit    a trial that outgrows its memory beside others (as root)
    python -m tests.faults.injection.fuzz_specs      damaged specs
    python -m tests.faults.injection.hostile_files   malicious bundles, checkpoints and models
    python -m tests.faults.injection.soak            hundreds of trials, with the driver's memory watched

`--count` is the number of faults, `--seed` determines them. Each command prints one line of figures; it exits with 1
and names each claim that did not hold.

    tiny.py            a small plan, and `harness run` on it in a process of its own
    aftermath.py       the undisturbed run, and comparison with it
    verdict.py         the claims that held and did not, and the command line
    watch.py           files written, programs started and pickles opened by this process
    bombs.py           content that leaves a trace when it is executed
    mutations.py       random damage to YAML
    hostile_*.py       attacks by bundle, checkpoint and model
"""
