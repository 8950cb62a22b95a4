"""From a plan to results: which trial runs when, where and with whom.

    run.py          `run_plan`: the plan minus what is recorded, on a backend, told to listeners
    dispatcher.py   who runs what next: leases jobs in dependency order, takes losses back (pure)
      graph.py        which trials wait for which
      queue.py        ready trials, longest way to the end first, cohorts kept together
      effort.py       estimates that order and group
      shapes.py       what a worker occupies and how many fit
      events.py       what the dispatcher tells, and who listens
    worker.py       what a worker does with a job
    local.py        backend: this process
    ray_tune.py     backend: Ray Tune; `slots.py` its worker slots, `cluster.py` joining and starting Ray
      data_parallel.py  slots of several workers, by Ray Train
    claim.py        one driver for a runs directory; `interrupts.py` Ctrl-C and SIGTERM
    live.py         the view for people; `tail.py` what running trials report

What a trial *is* belongs to `harness.plan`, what it *does* to `harness.trials.run`, where results are stored and
ranked to `harness.results`. Importing this package imports neither Ray nor torch."""

from harness.schedule.dispatch.events import Listener, RunSummary, Silent, Together
from harness.schedule.run_plan import RunOptions, run_plan

__all__ = ["Listener", "RunOptions", "RunSummary", "Silent", "Together", "run_plan"]
