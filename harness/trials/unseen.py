"""What a student has weights for and its training never showed it."""

from __future__ import annotations

from harness.models.loaded import LoadedModel


def unseen_inputs(teacher: LoadedModel, length: int) -> tuple[str, ...]:
    """What blocks of one segment and `length` tokens leave out of the inputs that the teacher's family can read.

    A student's embeddings of these are as initialised: drawn at random, or copied from the teacher."""
    longest = teacher.longest_input
    gaps = []
    if length < longest:
        gaps.append(f"positions {length + 1} to {longest}: it was trained on blocks of {length} tokens")
    if getattr(teacher.model.config, "type_vocab_size", 1) > 1:
        gaps.append("the second segment of a pair: it was trained on blocks of one segment")
    return tuple(gaps)
