"""The tiny models of the tests of models."""

from tests.models.conftest import checkpoint, model_type, teacher

__all__ = ["checkpoint", "model_type", "teacher"]
