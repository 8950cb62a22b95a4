"""Golden cases: finding them, reading them, and comparing with them at their own tolerances."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class GoldenCase:
    """One NAME.json with, where it has tensors, NAME.safetensors beside it."""

    path: Path
    document: dict[str, Any]
    """The JSON as read; not-a-number is still the string "nan" (see `number`)."""

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.path.stem

    @property
    def family(self) -> str:
        """The `family` field."""
        return self.document["family"]

    @property
    def expected(self) -> dict[str, Any]:
        """Expected scalars by name."""
        return self.document["expected"]

    @property
    def tolerance(self) -> dict[str, Any]:
        """Tolerances by name, as the case states them."""
        return self.document["tolerance"]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The tensors as NumPy arrays in their stored types; expected ones keep their prefix `expected.`."""
        from safetensors.numpy import load_file

        return load_file(self.path.with_suffix(".safetensors"))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The same as torch tensors."""
        from safetensors.torch import load_file

        return load_file(self.path.with_suffix(".safetensors"))

    def assert_scalar(
        self, got: float, want: float | str, what: str, dtype: str = "float64", atol: float = 0.0
    ) -> None:
        """`|got - want| <= rtol |want| + atol` with the case's `scalar_rtol_<dtype>`; NaN matches NaN only.

        `atol` is for a difference of large numbers that is near 0; for anything else leave it at 0.
        """
        expected, value = number(want), float(got)
        if np.isnan(expected) or np.isnan(value):
            close = np.isnan(expected) and np.isnan(value)
        else:
            close = abs(value - expected) <= self.tolerance[f"scalar_rtol_{dtype}"] * abs(expected) + atol
        assert close, f"{self.name}: {what} is {value!r}, expected {expected!r}"

    def assert_tensor(
        self, got: ArrayLike | torch.Tensor, want: ArrayLike | torch.Tensor, what: str, dtype: str = "float64"
    ) -> None:
        """`max|got - want| <= rtol max|want|` with the case's `tensor_rtol_<dtype>`; shapes and NaN positions
        must be equal.
        """
        value, expected = _float64(got), _float64(want)
        assert value.shape == expected.shape, (
            f"{self.name}: {what} has shape {value.shape}, expected {expected.shape}"
        )
        known = ~np.isnan(expected)
        assert np.array_equal(~np.isnan(value), known), (
            f"{self.name}: {what} is NaN at other places than expected"
        )
        if known.any():
            gap, scale = np.abs(value - expected)[known].max(), np.abs(expected[known]).max()
            assert gap <= self.tolerance[f"tensor_rtol_{dtype}"] * scale, (
                f"{self.name}: {what} is off by {gap:.3g} (largest {scale:.3g})"
            )


def number(value: float | str) -> float:
    """A number of a case's JSON; "nan" is not-a-number."""
    return float(value)


def find_cases(folder: Path) -> list[GoldenCase]:
    """Every case in `folder`, sorted by name. A JSON file with neither `family` nor `expected` is no case;
    one of the two alone is an error.
    """
    cases = []
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        fields = {"family", "expected"} & set(document) if isinstance(document, dict) else set()
        if fields and len(fields) < 2:
            raise ValueError(f"{path.name}: a golden case needs the fields 'family' and 'expected'")
        if fields:
            cases.append(GoldenCase(path, document))
    return cases


def _float64(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
