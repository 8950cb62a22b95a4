"""The plan is a function of what it is given: it opens nothing, whatever lies on the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.spec.writing import write_spec

PLANNED = """
import sys
from pathlib import Path
from harness.plan import build_plan, cohorts, inputs_of
from harness.plan.cost import assumed_rows, estimate, hindsight, speed_of
from harness.records.result import RecordedTrials
from harness.spec.resolve import load_spec

def planned(resolved):
    plan = build_plan(resolved, lambda asset: "x", "m")
    speed = speed_of(RecordedTrials())
    return estimate(plan, speed), assumed_rows(plan, speed), cohorts(plan.trials), inputs_of(resolved)

resolved = load_spec(Path(sys.argv[1]))
first = planned(resolved)  # loads what is imported late
opened, watched = [], {"open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen"}
sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event in watched else None)
assert planned(resolved) == first and len(first[0]) > 10
print(opened)
open(sys.argv[1]).close()
print(opened)
"""


def test_planning_and_estimating_open_no_files(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PLANNED, str(spec)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", f"['{spec}']"]  # the second line: an opened file is seen
