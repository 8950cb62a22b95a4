"""Masked-language modelling: cross-entropy against the true tokens."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.methods.term import TERMS, TermParams


class Mlm(TermParams):
    """Masked-LM cross-entropy against the true tokens (Devlin et al., 2019): no teacher."""

    term: Literal["mlm"] = "mlm"

    implementation: ClassVar[str] = "harness.methods.losses.mlm:MlmLoss"
    trains_mlm_head: ClassVar[bool] = True

    @property
    def needs_masked_input(self) -> bool:
        """Corrupted positions exist only in masked input."""
        return True

    def formula(self) -> str:
        return "−log softmax(z_S)[true token], mean over corrupted positions"


TERMS.register("mlm", Mlm)
