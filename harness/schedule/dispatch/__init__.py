"""Which trial runs next, and where: decisions alone.

Everything here is a function of the plan, of the results and losses that were reported, and of the time that is passed
in. Nothing reads a file or a clock, starts a process or knows Ray: an import contract in pyproject.toml holds that, and
it is why the tests can drive thousands of runs with failing workers in a second. Talking to workers belongs to `local`
and `ray`, reporting to people to `listener`.

    dispatcher.py     leases jobs to slots in dependency order and takes losses back
    workload.py       what there is to run: the plan, and what is recorded of it
    graph.py          which trials wait for which
    queue.py          trials that are ready, longest way to the end first, cohorts kept together
    effort.py         estimates that order trials and size cohorts
    slot_shapes.py    what a slot occupies, and how many slots fit on the machines
    events.py         what the dispatcher reports
    rehearsal.py      the dispatch of a plan played through with estimated times: what it takes by the clock
"""
