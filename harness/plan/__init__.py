"""From a resolved spec to trials in dependency order. Pure: reads no files, knows no clock, imports no torch.

What belongs here: which trials a spec asks for, their ids, which of them may share a teacher pass, and what
they roughly cost. What does not: reading YAML (`harness.spec`) and running anything (`harness.schedule`)."""

from harness.plan.build import Plan, build_plan
from harness.plan.cohorts import cohorts
from harness.plan.input_contents import UNRESOLVED, Unresolved, inputs_of

__all__ = ["UNRESOLVED", "Plan", "Unresolved", "build_plan", "cohorts", "inputs_of"]
