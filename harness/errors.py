"""Errors that a user can fix. Each prints as one line; `--debug` shows the traceback behind it."""

from __future__ import annotations


class HarnessError(Exception):
    """Base of every error whose message alone is enough for the user; anything else is a bug."""


class InputError(HarnessError):
    """The input is wrong (spec, option, database, missing file). The command exits with code 2, nothing touched."""


class SpecError(InputError):
    """One or more mistakes in YAML; each line of the message reads `file:line:col: what is wrong; what would be right`."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class AssetError(InputError):
    """An input (model, corpus, task data) cannot be obtained; the message names it, each source tried,
    and what would help."""


class ChangedInputError(AssetError):
    """A file was replaced after the plan that a trial belongs to was made, or while it was read: what it holds now is
    not what the trial's id stands for."""


REASONS = (
    "nan",
    "out_of_memory",
    "lost_input",
    "changed_input",
    "disk_full",
    "permission",
    "killed",
    "interrupted",
    "corrupt_checkpoint",
    "error",
)
"""Names of what a trial can fail of; `nan`: a loss, score or gradient that is not a number, or infinite."""


class TrialError(HarnessError):
    """A trial failed for a reason worth recording; `reason` is a short machine-readable name."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """One of `REASONS`."""


class DeviceLostError(BaseException):
    """The accelerator no longer answers this process: an illegal access, a failed assertion, a memory error. Whatever
    this process asks of it next fails too. So no trial may record it as a failure of its own, which is why it is not an
    `Exception`: the process must end, and another takes its trials up."""


EXIT_OK = 0
EXIT_TRIALS_FAILED = 1
EXIT_INPUT_WRONG = 2
EXIT_INTERRUPTED = 130
