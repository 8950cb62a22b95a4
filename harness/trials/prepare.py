"""Adapt a teacher to the corpus by masked-LM training before it teaches: a cohort of one, without a teacher."""

from __future__ import annotations

from functools import partial

from torch import nn
from transformers import PreTrainedModel

from harness.attempts.attempt import Attempt, Outcome
from harness.attempts.figures import HeldOut
from harness.attempts.site import Site
from harness.corpora.blocks import build_blocks
from harness.corpora.stream import BatchStream, held_out_batches
from harness.devices.placement import attention_rule, place_student
from harness.methods.objective import build_objective
from harness.methods.terms.mlm import Mlm
from harness.models.export import export_model, model_card
from harness.models.loaded import LoadedModel
from harness.plan.work import prepare_flops
from harness.records.trial import ModelSource, PrepareJob
from harness.training.loop import SharedInputs, train
from harness.training.member import Member
from harness.training.optimise import optimiser_for
from harness.trials.card import masked_accuracy, training_rows
from harness.trials.load import load_source, parents_sha256
from harness.trials.untrained import untrained_parts

HELD_OUT_BLOCKS = 512
"""Held-out blocks on which masked accuracy is taken before and after training."""


def prepare(attempt: Attempt, site: Site) -> None:
    """Run one `prepare` trial to its result."""
    job = attempt.trial.job
    assert isinstance(job, PrepareJob)
    with attempt.working():
        saved = attempt.begin()
        teacher = load_source(ModelSource(teacher=job.teacher), site)
        teacher.require_length(job.recipe.length)
        sources = site.sources
        blocks = build_blocks(
            job.corpus, teacher.tokenizer, teacher.tokenizer_sha256, job.recipe.length, sources
        )
        set_dropout(teacher.model, job.recipe.dropout)
        place_student(teacher.model, site.torch_device)
        if job.recipe.train == "head":
            teacher.model.base_model.requires_grad_(False)
        objective = build_objective((Mlm(),), teacher.shape, teacher.shape).to(site.torch_device)
        attempt.settle_precision(job.recipe.precision, saved)
        member = Member(
            attempt,
            teacher.model,
            objective,
            optimiser_for(teacher.model, objective, job.recipe),
            steps=job.recipe.steps,
            seed=job.recipe.seed,
        )
        member.state.restore(saved)
    inputs = SharedInputs(
        teacher=None,
        stream=BatchStream(blocks, job.recipe, job.recipe.seed),
        held_out=held_out_batches(blocks, job.recipe, max_blocks=HELD_OUT_BLOCKS),
    )
    finish = partial(_finish, job=job, teacher=teacher, thin=blocks.flags)
    train([member], inputs, site, finish)


def set_dropout(model: PreTrainedModel, dropout: float) -> None:
    """Set every dropout of the model to this rate, 0..1; its config stays as it was shipped."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


def _finish(
    member: Member, held_out: HeldOut, *, job: PrepareJob, teacher: LoadedModel, thin: tuple[str, ...]
) -> Outcome:
    recipe = job.recipe
    untrained = untrained_parts(member.model, member.untrained)
    before = member.state.before or held_out
    card = model_card(
        f"{job.teacher.name}, prepared",
        summary=f"`{job.teacher.name}` after masked-LM training on the corpus its students are distilled on.",
        recipe={
            "trained": "encoder and masked-LM head" if recipe.train == "all" else "masked-LM head",
            **training_rows(member, recipe, recipe.seed),
            "masked accuracy on held-out text": masked_accuracy(before, held_out),
        },
        provenance={
            "trial": member.attempt.trial.id,
            "teacher weights (SHA-256)": teacher.sha256,
            "corpus": f"{job.corpus.name} ({', '.join(job.corpus.languages)})",
            "tokens": member.state.tokens,
        },
        untrained=untrained,
        mlm_head=True,
        languages=job.corpus.languages,
        licence=job.teacher.licence,
    )
    sha256 = export_model(
        member.model,
        teacher.tokenizer,
        member.attempt.folder.model,
        mlm_head=True,
        card=card,
        pooler=teacher.pooler,
    )
    return Outcome(
        precision=member.attempt.precision,
        kernels={
            "attention": attention_rule(member.device, teacher.shape.model_type, trains=True),
            "optimiser": "fused AdamW",
        },
        tokens=member.state.tokens,
        flops=member.step * prepare_flops(teacher.shape, recipe),
        weights_sha256=sha256,
        measurements=(*held_out.measurements(), *before.measurements("_before")),
        flags=(*member.flags, *thin),
        facts={
            "steps": member.step,
            "held_out_before": before.as_json(),
            "held_out_after": held_out.as_json(),
            "untrained": untrained,
        },
        parents_sha256=parents_sha256(ModelSource(teacher=job.teacher), teacher),
    )
