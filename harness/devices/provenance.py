"""The conditions of a number: hardware, threads, versions, commit. Importing this loads no torch."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import harness
from harness.devices.cores import available_cores
from harness.records.result import Provenance

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scikit-learn",
    "scipy",
    "pot",
    "pyarrow",
)
"""Packages whose version can change a number."""

_MATMUL_CLASSES = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "asimd", "sse4_2")
"""Instruction sets that decide how matrices are multiplied, strongest first."""


def fingerprint(threads: int) -> str:
    """Readable name of this machine's hardware and thread class; timings are comparable where it is equal.

    Example: `Intel(R) Xeon(R) Processor, amx_bf16, 2 cores, no GPU, 1 thread`.
    """
    cores = available_cores()
    gpus = ", ".join(_gpus()) or "no GPU"
    return (
        f"{_processor()}, {_matmul_class()}, {_plural(cores, 'core')}, {gpus}, {_plural(threads, 'thread')}"
    )


def collect(
    *,
    device: str,
    precision: str,
    threads: int,
    matmul_peak: float | None = None,
    kernels: Mapping[str, str] | None = None,
    parents_sha256: Mapping[str, str] | None = None,
    plugins: Mapping[str, str] | None = None,
) -> Provenance:
    """The provenance of a trial that ran here on `device` ('cpu', 'cuda') from parents with these weights."""
    return Provenance(
        harness=_version("distil-harness") or "unknown",
        versions=_versions(),
        device=_device_name(device),
        fingerprint=fingerprint(threads),
        precision=precision,
        threads=threads,
        matmul_peak=matmul_peak,
        kernels=dict(kernels or {}),
        commit=_commit(),
        parents_sha256=dict(parents_sha256 or {}),
        plugins=dict(plugins or {}),
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return _processor()


@cache
def _cpuinfo() -> dict[str, str]:
    """Fields of the first processor; empty if the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


@cache
def _processor() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine() or "unknown processor"


@cache
def _matmul_class() -> str:
    flags = set((_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split())
    return next((name for name in _MATMUL_CLASSES if name in flags), platform.machine())


@cache
def _gpus() -> tuple[str, ...]:
    """Names of NVIDIA cards as the driver lists them; uses neither torch nor a subprocess, so planning stays quick."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return tuple(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


@cache
def _versions() -> dict[str, str]:
    installed = {name: _version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **{name: text for name, text in installed.items() if text}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """Commit of the checkout this runs from, with `+changes` if it is modified; None outside a checkout."""
    root = Path(harness.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
