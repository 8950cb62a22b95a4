"""Run an encoder and hand out what an objective reads of it, without touching the model's code.

A model's own modules are called in order (embeddings, then layer after layer, as transformers' encoder does),
so hidden states need no hook at all; query, key and value are caught by forward hooks that live for one call.
The run ends at the deepest thing that is needed: for the projections of layer l, nothing of layer l but those
three products is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.families import LayerInputs, Projections, family_of
from harness.flops import read_flops
from harness.methods.loss import QKV, Activations, Batch, Needs
from harness.shapes import Shape


class Tapped:
    """One model and what is read of it. Calling it with a batch returns `Activations`.

    The model's mode (train or eval), device, precision and attention implementation are its own: see
    `harness.devices.placement`. Padding positions carry whatever the model computes there; terms mask them.
    """

    def __init__(self, model: PreTrainedModel, needs: Needs, *, frozen: bool = False) -> None:
        """`frozen` puts the model in eval mode and runs it without autograd (a teacher).

        Raises ValueError where `needs` names a layer that the model does not have."""
        self.model = model
        self.frozen = frozen
        self._family = family_of(model)
        self._layers = list(self._family.layers(model))
        self.layers = len(self._layers)
        self.heads = int(getattr(model.config, self._family.sizes.heads))
        self.needs = needs | Needs(hidden=frozenset({self.layers})) if needs.mlm else needs
        outside = [layer for layer in self.needs.hidden if not 0 <= layer <= self.layers]
        outside += [layer for layer in self.needs.qkv if not 1 <= layer <= self.layers]
        if outside:
            raise ValueError(f"the model has layers 1 to {self.layers}; asked for {sorted(set(outside))}")
        if frozen:
            model.eval()
        self.full_layers, self.projects_only = _depth(self.needs)

    def __call__(self, batch: Batch) -> Activations:
        """Run on `batch`, whose tensors are on the model's device."""
        with torch.no_grad() if self.frozen else nullcontext():
            return self._run(batch)

    def _run(self, batch: Batch) -> Activations:
        hidden: dict[int, Tensor] = {}
        qkv: dict[int, QKV] = {}
        state = self._family.embed(self.model, batch.input_ids)
        if 0 in self.needs.hidden:
            hidden[0] = state
        for number, (layer, inputs) in enumerate(self._inputs(state, batch), start=1):
            if number in self.needs.qkv:
                maps = self._family.projections(layer)
                with _caught(maps) as outputs:
                    state = self._family.run_layer(layer, state, inputs)
                qkv[number] = QKV(*maps.apart(list(outputs.values())))
            else:
                state = self._family.run_layer(layer, state, inputs)
            if number in self.needs.hidden:
                hidden[number] = self._normalised(state) if number == self.layers else state
        if self.projects_only is not None:
            deepest = self._layers[self.projects_only - 1]
            maps, read = self._family.projections(deepest), self._family.attention_input(deepest, state)
            qkv[self.projects_only] = QKV(*maps.apart([module(read) for module in maps.modules]))
        return Activations(
            hidden=hidden,
            qkv=qkv,
            mlm=self._family.head(self.model) if self.needs.mlm else None,
            heads=self.heads,
            layers=self.layers,
            rotate=partial(self._family.rotate, self.model) if self._family.rotary else None,
        )

    def _inputs(self, state: Tensor, batch: Batch) -> Iterator[tuple[nn.Module, LayerInputs]]:
        """The layers that run whole, each with what it is called with."""
        if not self.full_layers:
            return
        real = batch.attention_mask if batch.padded else None
        inputs = self._family.layer_inputs(self.model, state, real)
        yield from zip(self._layers[: self.full_layers], inputs, strict=False)

    def _normalised(self, state: Tensor) -> Tensor:
        """The last layer's states as heads read them."""
        norm = self._family.final_norm(self.model)
        return state if norm is None else norm(state)


def _depth(needs: Needs) -> tuple[int, int | None]:
    """How many layers must run whole, and the layer after them of which only the projections are computed, if any."""
    whole = max(needs.hidden, default=0)
    deepest = max(needs.qkv, default=0)
    return (deepest - 1, deepest) if deepest > whole else (whole, None)


def operations(needs: Needs, shape: Shape, sequences: int, tokens: int, positions: int) -> int:
    """Of a model of this shape run as far as `needs` says on `sequences` blocks of `tokens` tokens, its masked-LM head
    on `positions` of them where it is read: what `Tapped` computes, by `harness.flops`."""
    if needs.mlm:
        needs |= Needs(hidden=frozenset({shape.layers}))
    layers, projected = _depth(needs)
    return read_flops(
        shape,
        sequences,
        tokens,
        layers=layers,
        maps=3 if projected else 0,
        positions=positions if needs.mlm else 0,
    )


@contextmanager
def _caught(maps: Projections) -> Iterator[dict[nn.Module, Tensor]]:
    """While open, outputs of the maps' modules land in the dictionary; the hooks are gone afterwards, whatever happened."""
    outputs: dict[nn.Module, Tensor] = dict.fromkeys(maps.modules, torch.empty(0))

    def hook(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[module] = output

    with ExitStack() as stack:
        for module in maps.modules:
            stack.callback(module.register_forward_hook(hook).remove)
        yield outputs
