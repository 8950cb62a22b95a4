"""OD with TextBrewer (Yang et al., ACL 2020 demo), a peer that offers it: its general distiller in masked mode, as its
manual shows it, with its own loss."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.conditions import Conditions
from benchmarks.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig


class _Logits(nn.Module):
    """A masked-LM model without loss, which is left to the distiller."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _adapt(batch: dict[str, Tensor], logits: Tensor) -> dict[str, Tensor]:
    """An adaptor in TextBrewer's sense: `logits_mask` is its masked mode."""
    return {"logits": logits, "logits_mask": batch["mask"]}


class BrewerStep:
    """One step of `GeneralDistiller`; optimiser and clipping are those of every other side."""

    def __init__(self, conditions: Conditions, student: str, precision: str, vocabulary: int) -> None:
        world = World.make(conditions, vocabulary)
        loaded = world.load_teacher()
        self.device = conditions.torch_device
        self.student: Any = world.build_student(loaded, conditions.student(student)).to(self.device).train()
        self.batches = itertools.cycle(world.batches(loaded))
        self.bf16 = precision == "bf16"
        teacher: Any = loaded.model
        teacher.to(self.device).eval()
        self.distiller = GeneralDistiller(
            TrainingConfig(device=self.device, output_dir=tempfile.mkdtemp(dir=conditions.folder)),
            DistillationConfig(temperature=1, kd_loss_type="ce", kd_loss_weight=1, hard_label_weight=0),
            _Logits(teacher),
            _Logits(self.student),
            _adapt,
            _adapt,
        )
        self.parameters = list(self.student.parameters())
        self._adamw = torch.optim.AdamW(self.parameters, lr=1e-4, eps=1e-6, weight_decay=0.01, fused=True)

    def __call__(self) -> None:
        batch = next(self.batches)
        given = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "mask": batch.masked_positions,
        }
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss, _ = self.distiller.train_on_batch(given, {})
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)


def brewer_step(conditions: Conditions, student: str, precision: str, vocabulary: int) -> BrewerStep:
    """`BrewerStep` by a module-level function, which can be sent to another process."""
    return BrewerStep(conditions, student, precision, vocabulary)
