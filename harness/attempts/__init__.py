"""One attempt at a trial: the site it runs at, its folder and checkpoints, the processes that share the work, and failures
by name. Here belongs what every kind of trial needs around its work, whether it trains or not; the steps of training are
in `harness.training`, what each kind of trial does in `harness.trials`.

site            where the trials of one worker run: folders, device, how they are stopped
attempt         one trial under way: what it reports while it runs, and its result
checkpoints     what is saved on disk so that a trial goes on bit for bit
saved           what a checkpoint says besides its tensors, checked before it is used
figures         what is measured while a model trains and goes into its result
cadence         when to save, and when to stop
process_group   several processes that train one cohort, each on its rows of every batch
faults          from an exception to the reason that is recorded
"""
