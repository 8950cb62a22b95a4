"""Are two exported students the same but for rounding?"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel

KEY_BIAS = ("key.bias", "k_lin.bias")
"""A bias of the keys adds the same to all scores of a query, which softmax takes out again. Its gradient is 0, and Adam
makes steps of what rounding leaves of it: it may differ where nothing that the model computes does."""


def assert_same_student(folder: Path, other: Path) -> None:
    """All weights but the biases of keys agree to 1e-3 of their size or 1e-4, and so do the last layer's states on random
    tokens."""
    one, two = (load_file(path / "model.safetensors") for path in (folder, other))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if not name.endswith(KEY_BIAS):
            torch.testing.assert_close(
                two[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda text, at=name: f"{at}: {text}"
            )
    models = [AutoModel.from_pretrained(path, local_files_only=True).eval() for path in (folder, other)]
    ids = torch.randint(0, models[0].config.vocab_size, (4, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = [model(input_ids=ids).last_hidden_state for model in models]
    torch.testing.assert_close(states[1], states[0], rtol=1e-3, atol=1e-3)
