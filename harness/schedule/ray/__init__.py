"""The backend that runs a plan on a Ray cluster, or on a Ray of its own on this machine.

The only room that knows Ray. It obtains resources, starts processes and passes calls on to the dispatcher, which runs
as an actor; what runs next is decided in `dispatch`, and what a worker does with a job is in `worker`. `run_plan`
imports it only when there is something to run.

    tune.py             the backend: Ray Tune starts and packs worker slots
    slots.py            a worker slot as a Tune trial, and the dispatcher as an actor
    leasing.py          the calls between slots, workers and the dispatcher
    data_parallel.py    slots of several workers, by Ray Train
    cluster.py          joining and starting Ray
"""
