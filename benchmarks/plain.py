"""Each method's training step as its paper would write it, in plain PyTorch on transformers' own models: the reference
for the harness.

Teacher and student run completely, tensors are materialised, losses follow their formulas. Optimiser (fused AdamW),
clipping, dropout and batches are those of the harness.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.conditions import Conditions
from benchmarks.world import World
from harness.methods.loss import Batch
from harness.spec.entries import Student

Loss = Callable[[Any, Any, Batch], Tensor]
"""(teacher, student, batch) -> 0-d loss; runs both models."""

RELATION_HEADS = 48


class PlainStep:
    """One teacher, one student, one loss; calling it trains on the next batch."""

    def __init__(
        self, world: World, student: Student, loss: Callable[[PlainStep], Loss], *, bf16: bool
    ) -> None:
        """`loss(self)` builds the loss once the models exist, with its projections appended to `extra`."""
        loaded = world.load_teacher()
        device = world.conditions.torch_device
        self.device = device
        self.student: Any = world.build_student(loaded, student)
        self.student.to(device).train()
        self.batches = itertools.cycle(world.batches(loaded))
        self.teacher: Any = place(loaded.model, device).eval().requires_grad_(False)
        self.extra: list[nn.Module] = []
        self.bf16 = bf16
        self._loss = loss(self)
        self.parameters = [*self.student.parameters(), *(p for one in self.extra for p in one.parameters())]
        self._adamw = torch.optim.AdamW(self.parameters, lr=1e-4, eps=1e-6, weight_decay=0.01, fused=True)

    def __call__(self) -> None:
        batch = next(self.batches)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss = self._loss(self.teacher, self.student, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` itself, moved to `device`."""
    return model.to(device)


def minilmv2(step: PlainStep) -> Loss:
    """Wang et al. (2021): relations among queries, keys and values of the last layers, each with weight 1/3."""
    of_teacher, of_student = _last_projections(step.teacher), _last_projections(step.student)

    def loss(teacher: Any, student: Any, batch: Batch) -> Tensor:
        with torch.no_grad():
            teacher.bert(batch.input_ids, batch.attention_mask)
        student.bert(batch.input_ids, batch.attention_mask)
        return torch.stack(
            [relation_kl(of_student[name], of_teacher[name], batch.attention_mask) for name in of_student]
        ).mean()

    return loss


def relation_kl(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """KL between the relations of (batch, tokens, width) projections, mean over rows, heads and examples."""
    p, q = _relation(teacher.float(), mask), _relation(student.float(), mask)
    divergence = functional.kl_div(q.log_softmax(-1), p.log_softmax(-1), log_target=True, reduction="none")
    rows = divergence.sum(-1)  # (batch, heads, tokens)
    if mask is None:
        return rows.mean()
    per_example = (rows * mask[:, None]).sum((1, 2)) / (RELATION_HEADS * mask.sum(1))
    return per_example.mean()


def _relation(x: Tensor, mask: Tensor | None) -> Tensor:
    heads = x.unflatten(-1, (RELATION_HEADS, -1)).transpose(1, 2)
    scores = heads @ heads.mT / math.sqrt(heads.shape[-1])
    return scores if mask is None else scores.masked_fill(~mask[:, None, None], torch.finfo(scores.dtype).min)


def _last_projections(model: Any) -> dict[str, Tensor]:
    """Last layer's projections; a dict that every forward pass refills."""
    outputs: dict[str, Tensor] = {}
    attention = model.bert.encoder.layer[-1].attention.self
    for name in ("query", "key", "value"):

        def hook(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
            outputs[name] = output

        getattr(attention, name).register_forward_hook(hook)
        outputs[name] = torch.empty(0)
    return outputs


def hs_uniform(step: PlainStep) -> Loss:
    """Jiao et al. (2020), L_hidn: every student layer against an evenly spaced teacher layer."""
    teacher, student = step.teacher.config, step.student.config
    apart = teacher.num_hidden_layers / student.num_hidden_layers
    maps = nn.ModuleList(
        nn.Linear(student.hidden_size, teacher.hidden_size) for _ in range(student.num_hidden_layers)
    ).to(step.device)
    step.extra.append(maps)

    def loss(teacher: Any, student: Any, batch: Batch) -> Tensor:
        with torch.no_grad():
            theirs = teacher.bert(
                batch.input_ids, batch.attention_mask, output_hidden_states=True
            ).hidden_states
        mine = student.bert(batch.input_ids, batch.attention_mask, output_hidden_states=True).hidden_states
        each = [
            functional.mse_loss(projection(mine[i]).float(), theirs[math.floor(i * apart)].float())
            for i, projection in enumerate(maps, start=1)
        ]
        return torch.stack(each).mean()

    return loss


def od(_step: PlainStep) -> Loss:
    """Hinton et al. (2015) at the corrupted positions, chosen from the logits of both models."""

    def loss(teacher: Any, student: Any, batch: Batch) -> Tensor:
        with torch.no_grad():
            theirs = teacher(batch.input_ids, batch.attention_mask).logits
        mine = student(batch.input_ids, batch.attention_mask).logits
        chosen = batch.masked_positions
        p, q = (x[chosen].float().log_softmax(-1) for x in (theirs, mine))
        return functional.kl_div(q, p, log_target=True, reduction="batchmean")

    return loss


METHODS: dict[str, Callable[[PlainStep], Loss]] = {"minilmv2": minilmv2, "hs-uniform": hs_uniform, "od": od}


def plain_step(
    conditions: Conditions, method: str, student: str, precision: str, vocabulary: int
) -> PlainStep:
    """The reference of a method, by its name in the harness."""
    world = World.make(conditions, vocabulary)
    return PlainStep(world, conditions.student(student), METHODS[method], bf16=precision == "bf16")
