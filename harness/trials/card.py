"""How a model was trained, as rows of its card."""

from __future__ import annotations

from harness.attempts.figures import HeldOut
from harness.counted import counted
from harness.models.loaded import LoadedModel
from harness.models.projected_start import width_projection
from harness.shapes import Shape
from harness.spec.entries import Student
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Distil, Prepare
from harness.training.member import Member


def training_rows(member: Member, recipe: Distil | Prepare, seed: int) -> dict[str, object]:
    """Steps, input, optimiser and precision."""
    corrupted = isinstance(recipe, Prepare) or recipe.input == "masked"
    read = f"{recipe.mlm_probability:.0%} of positions corrupted" if corrupted else "uncorrupted"
    return {
        "steps": f"{member.step} of {recipe.steps}",
        "batch": f"{counted(recipe.batch_size, 'block')} of {recipe.length} tokens, {read}",
        "optimiser": f"AdamW, betas {recipe.betas}, epsilon {recipe.epsilon}",
        "weight decay": recipe.weight_decay,
        "learning rate": f"{recipe.learning_rate}, warm-up over {counted(recipe.warmup_steps, 'step')}, linear decay",
        "dropout": recipe.dropout,
        "precision": member.attempt.precision,
        "seed": seed,
    }


def start_row(init: Initialisation, teacher: Shape, student: Student, kept: float | None) -> str:
    """Where the weights started. `kept`: share of the variance of the teacher's word embeddings, 0..1."""
    if init.source != "teacher":
        return {"random": "random weights", "checkpoint": "a checkpoint"}[init.source]
    numbers = init.copied_layers(teacher.layers, student.layers)
    layers = "random layers" if numbers is None else f"its layers {', '.join(map(str, numbers))}"
    if student.width == teacher.width:
        return f"the teacher: embeddings, {layers}"
    return (
        f"the teacher: embeddings on the first {student.width} of {teacher.width} principal directions "
        f"({100 * (kept or 0):.1f} % of the variance), {layers}"
    )


def variance_kept(init: Initialisation, student: Student, teacher: LoadedModel) -> float | None:
    """Share of the variance of the teacher's word embeddings that a student starts with; None where it starts from
    something else."""
    if init.source != "teacher":
        return None
    return width_projection(teacher, student.width).variance_kept


def masked_accuracy(before: HeldOut, after: HeldOut) -> str:
    """`0.12 before, 0.34 after (n positions)`."""
    if before.masked_accuracy is None or after.masked_accuracy is None:
        return "not measured: no held-out text"
    change = f"{before.masked_accuracy:.3f} before, {after.masked_accuracy:.3f} after"
    return f"{change} ({counted(after.positions, 'position')})"
