"""Which attention kernel, precision and device a model runs with: by rule, never by timing, so that runs repeat."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from harness.families import FAMILIES
from harness.spec.recipes import Precision

Resolved = Literal["fp32", "bf16"]


def attention_rule(device: torch.device, model_type: str, trains: bool) -> str:
    """transformers' attention implementation: `eager` for a model that trains on CPU, else its family's, mostly `sdpa`.

    On CPU the backward pass of scaled_dot_product_attention costs more than the plain product it replaces.
    """
    return "eager" if trains and device.type == "cpu" else FAMILIES[model_type].kernel


def resolve_precision(precision: Precision, device: torch.device) -> Resolved:
    """`auto` resolves to bf16 where `device` multiplies bfloat16 faster than fp32 (AMX on x86, its equivalent on Arm,
    Ampere or later on NVIDIA), else to fp32; other values stay. AVX512-BF16 alone does not count: without tiles a bf16
    matmul was measured at half the rate of fp32."""
    if precision != "auto":
        return precision
    return "bf16" if _multiplies_bf16(device) else "fp32"


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "bf16"))
    return False


def place_teacher(model: PreTrainedModel, device: torch.device, precision: Resolved) -> PreTrainedModel:
    """`model` itself, moved to `device`, cast to `precision`, frozen, in eval mode. It can no longer be trained, nor
    copied from in bf16: build students first."""
    model.set_attn_implementation(attention_rule(device, model.config.model_type, trains=False))
    model.requires_grad_(False)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    module: nn.Module = model
    module.to(device=device, dtype=dtype)
    return model.eval()


def place_student(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """`model` itself, moved to `device`, in float32 (the loop autocasts), in train mode."""
    model.set_attn_implementation(attention_rule(device, model.config.model_type, trains=True))
    module: nn.Module = model
    module.to(device=device)
    return model.train()
