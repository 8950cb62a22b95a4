"""A model as an ONNX graph whose batch and length are free, and a session that runs one.

ids, mask, segments (n, tokens)  ->  ONNX Runtime  ->  last_hidden_state (n, tokens, width) or logits
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.models.classify import Classifier
from harness.tasks.encoded import PaddedRows

OPSET = 20
"""Operator set of the files; ONNX Runtime reads it from version 1.17 on."""
TRACED = (2, 8)
"""Rows and tokens of the batch that the graph is recorded on; what is checked has other shapes."""


class Encoder(nn.Module):
    """An encoder without a head, called as a `Classifier` is."""

    model: PreTrainedModel

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        encoder: Any = model.base_model
        self.model = encoder

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(n, tokens) -> (n, tokens, width), the last hidden states."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states: Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, **segments
        ).last_hidden_state
        return states


Exported = Encoder | Classifier
"""What can be written."""


def input_names(model: Exported) -> list[str]:
    """Names of the graph's inputs, each (batch, length) int64."""
    reads_segments = int(getattr(model.model.config, "type_vocab_size", 1)) > 1
    return ["input_ids", "attention_mask"] + ["token_type_ids"] * reads_segments


def output_name(model: Exported) -> str:
    """`logits` of a head, else `last_hidden_state`."""
    return "logits" if isinstance(model, Classifier) else "last_hidden_state"


def write_graph(model: Exported, longest: int, path: Path) -> None:
    """Write `model`, float32 on CPU, as one ONNX file for 1 or more rows of 1 to `longest` tokens."""
    names = input_names(model)
    ids = torch.full(TRACED, 5)
    mask = torch.ones_like(ids)
    mask[-1, -3:] = 0
    inputs = (ids, mask, torch.zeros_like(ids))[: len(names)]
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=1, max=longest)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            model.eval(),
            inputs,
            dynamo=True,
            input_names=names,
            output_names=[output_name(model)],
            dynamic_shapes={name: {0: batch, 1: length} for name in names},
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        program.save(path)


class Session:
    """An ONNX file in ONNX Runtime, on the processor."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """`threads`: 0 lets the runtime use every core."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # other work may need the cores
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self._session.get_inputs()]

    def outputs(self, batch: PaddedRows) -> NDArray[np.float32]:
        """The graph's output for a padded batch."""
        given = {
            "input_ids": batch.input_ids.numpy(),
            "attention_mask": batch.attention_mask.numpy(),
            "token_type_ids": batch.token_type_ids.numpy(),
        }
        (outputs,) = self._session.run(None, {name: given[name] for name in self.inputs})
        return np.asarray(outputs, dtype=np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that no encoder needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
