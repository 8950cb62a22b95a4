"""From a plan to results: which trial runs when, where, and beside which others.

What a trial *is* belongs to `harness.plan`, what it *does* to `harness.trials`, and where its result is stored and
ranked to `harness.results` and `harness.ranking`. Nothing in this room changes a result. Importing it imports neither
Ray nor torch.

    run_plan.py     the driver of a run: plan minus what is recorded, on a backend, reported to a listener
    recorded.py     what the trial folders record of a plan
    dispatch/       decides which trial runs next, without Ray, files or clock
    backend.py      what the driver asks of a place where jobs run
    local.py        backend: this process
    ray/            backend: a Ray cluster
    worker.py       what a worker does with a job
    claim.py        one driver at a time in a runs directory
    interrupts.py   Ctrl-C and SIGTERM
    listener.py     what a run reports, and to whom
    live_view.py    a listener for people
    outlook.py      how far a run is and how long it will take
    tail.py         follows the progress of running trials
"""

from harness.schedule.listener import Listener, Listeners, RunSummary
from harness.schedule.run_plan import RunOptions, run_plan

__all__ = ["Listener", "Listeners", "RunOptions", "RunSummary", "run_plan"]
