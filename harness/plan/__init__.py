"""From a resolved spec to trials in dependency order. Pure: opens no files, reads no clock, imports no torch.

What belongs here: which trials a spec asks for, their ids, which of them may share a teacher pass, and what they
roughly cost. What does not: reading YAML (`harness.spec`), reading what earlier trials left (`harness.records`) and
running anything (`harness.schedule`).

plan.py             what a plan is
build.py            the trials of every cell, each with its parents
finetuning.py       which settings each task is run with
rungs.py            successive halving: how many settings reach which share of the rows
identity.py         ids of trials
input_contents.py   what the content of every input is
cohorts.py          which distil trials may share a teacher pass
cost.py             seconds of each trial, on this machine as far as it is known
phases.py           seconds before, in and after the steps of a trial, on a processor or GPU
work.py             operations of each trial
row_counts.py       how many rows a task has: recorded earlier, read from local data, published or assumed
"""

from harness.plan.build import build_plan
from harness.plan.cohorts import cohorts
from harness.plan.input_contents import UNRESOLVED, Unresolved, inputs_of
from harness.plan.plan import Plan

__all__ = ["UNRESOLVED", "Plan", "Unresolved", "build_plan", "cohorts", "inputs_of"]
