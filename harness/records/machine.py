"""What is known of a machine's speed: the measured rate at which it multiplies matrices.

A trial's utilisation is its operations a second over this rate, and the plan's estimate of costs starts from
it. `harness.devices.matmul` measures; this module stores the figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from harness.base import digest
from harness.files import write_atomically


@dataclass(frozen=True)
class MachineProfile:
    """Measured rates of one machine at one number of threads, by device and precision."""

    fingerprint: str
    """Hardware and threads, `harness.devices.provenance.fingerprint`."""
    torch: str = field(default_factory=lambda: version("torch"))
    """Version of torch it was measured with; another one measures anew."""
    matmul_peak: Mapping[str, float] = field(default_factory=dict)
    """`cpu fp32`, `cuda bf16`, ... -> operations a second."""

    @classmethod
    def read(cls, cache_dir: Path, fingerprint: str) -> MachineProfile:
        """The stored profile below `cache_dir`; empty where there is none, or where another version of torch was
        measured."""
        fresh = cls(fingerprint)
        try:
            stored = json.loads(_path(cache_dir, fingerprint).read_text(encoding="utf-8"))
            peaks = {str(key): float(rate) for key, rate in stored["matmul_peak"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return fresh  # not there yet, or damaged: measured anew
        return replace(fresh, matmul_peak=peaks) if stored.get("torch") == fresh.torch else fresh

    def write(self, cache_dir: Path) -> None:
        """Store it below `cache_dir`."""
        write_atomically(_path(cache_dir, self.fingerprint), json.dumps(asdict(self), indent=2))

    def peak(self, device: str, precision: str) -> float | None:
        """Operations a second; None where it was never measured.

        For `auto` the faster precision, which is the one that the rule takes (`harness.devices.placement`)."""
        wanted = ("fp32", "bf16") if precision == "auto" else (precision,)
        known = [self.matmul_peak.get(f"{device} {one}") for one in wanted]
        return max((rate for rate in known if rate is not None), default=None)

    def with_peak(self, device: str, precision: str, rate: float) -> MachineProfile:
        """With one more rate."""
        return replace(self, matmul_peak={**self.matmul_peak, f"{device} {precision}": rate})


def _path(cache_dir: Path, fingerprint: str) -> Path:
    return cache_dir / "machines" / f"{digest(fingerprint)}.json"
