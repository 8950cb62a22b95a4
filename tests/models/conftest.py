"""Fixtures over the tiny models of `tiny`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.models.loaded import LoadedModel
from harness.models.loading import load_folder

from .tiny import MODEL_TYPES, tiny_model, tiny_tokenizer


@pytest.fixture(params=MODEL_TYPES)
def model_type(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tiny checkpoint the way transformers does and returns its folder."""

    def write(model_type: str, *, head: bool = True, name: str = "checkpoint", **size: int) -> Path:
        model = tiny_model(model_type, **size)
        folder = tmp_path / f"{name}-{model_type}"
        (model if head else model.base_model).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return folder

    return write


@pytest.fixture
def teacher(checkpoint: Callable[..., Path], model_type: str) -> LoadedModel:
    """A tiny teacher of each family."""
    return load_folder(checkpoint(model_type, name="teacher"))
