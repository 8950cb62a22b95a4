"""Where the trials of one worker run: folders, device, how they are stopped, and who trains along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from harness.assets.sources import Sources
from harness.attempts.process_group import Alone


@dataclass(frozen=True)
class Site:
    """What every trial that runs here shares."""

    runs_dir: Path
    """Folder of all trial folders."""
    sources: Sources
    """Where assets are looked for."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    stop: Callable[[], bool] = lambda: False
    """Asked after every step; True makes the trial save itself and raise `TrialInterruptedError`."""
    checkpoint_seconds: float = 15.0
    """Shortest time between two checkpoints, seconds."""
    workers: Alone = field(default_factory=Alone)
    """The processes that train one cohort together, this one among them."""

    @property
    def torch_device(self) -> torch.device:
        """The device for tensors."""
        return torch.device(self.device)
