"""What an `analyse` trial records: similarity of layers, divergence of relations, transfer of losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harness.base import RULE
from harness.corpora.blocks import build_blocks
from harness.corpora.stream import held_out_batches
from harness.methods.numerics.cka import CkaSums
from harness.methods.numerics.least_squares import LinearFit, NormalEquations
from harness.records.analysis import Analysis
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import AnalysedText, AnalyseJob, DistilJob, ModelSource, Trial, trial_id
from harness.results.verify import folder_problems, result_problems
from harness.spec.entries import Student
from harness.spec.recipes import Analyse
from harness.trials.load import load_source
from harness.trials.run import run_trials

from .world import FLAT_STUDENT, TINY_STUDENT, World, distil_trial, make_world, method

NAMES = ("minilmv2", "hs-uniform", "od", "direct-minilm", "distilbert", "hs-emd", "hs-attention")


def analyse_trial(student: Trial, names: tuple[str, ...] = NAMES, **recipe: object) -> Trial:
    """The analysis of a student on the text that it was distilled on."""
    job = student.job
    assert isinstance(job, DistilJob)
    own = AnalyseJob(
        student=ModelSource(trial=student.id),
        teacher=job.teacher,
        corpus=job.corpus,
        text=AnalysedText(**{name: getattr(job.recipe, name) for name in AnalysedText.model_fields}),
        objectives=tuple(_fitting(name) for name in names),
        recipe=Analyse(enabled=True, relation_heads=4, **recipe),  # type: ignore[arg-type]
    )
    makers = (student.id,)
    return Trial(
        id=trial_id("analyse", own, {}, makers), id_rule=RULE, kind="analyse", recipe_version=1, job=own, data={},
        parents=makers,
    )  # fmt: skip


def _fitting(name: str):  # type: ignore[no-untyped-def]
    """The method with relation heads that the tiny widths can be split into."""
    one = method(name)
    terms = [
        term.model_copy(update={"heads": 4}) if getattr(term, "heads", None) is not None else term
        for term in one.objective
    ]
    return one.model_copy(update={"objective": tuple(terms)})


def analysed(
    world: World, name: str, runs: str, student: Student = TINY_STUDENT, **recipe: object
) -> tuple[Result, Result]:
    """Results of a student and of its analysis."""
    site = world.site(runs)
    made = distil_trial(world, _fitting(name), student=student, steps=4, dropout=0.0)
    first, second = run_trials([made, analyse_trial(made, **recipe)], site)
    assert first.status == "ok", first.error
    assert second.status == "ok", second.error
    return first, second


def gram_cka(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """HSIC of centred Gram matrices, as Kornblith et al. write it."""
    n = len(x)
    h = np.eye(n) - 1 / n
    k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
    return float((k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum()))


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_similarity_is_that_of_centred_gram_matrices(offset: float) -> None:
    draws = np.random.default_rng(0)
    x = [draws.normal(size=(90, 5)) + offset, draws.normal(size=(90, 7)) @ draws.normal(size=(7, 7))]
    y = [x[0] @ draws.normal(size=(5, 9)), draws.normal(size=(90, 3)) - offset]
    sums = CkaSums()
    for part in (slice(0, 40), slice(40, 41), slice(41, 90)):
        sums.add([torch.tensor(a[part]) for a in x], [torch.tensor(b[part]) for b in y])
    for i, row in enumerate(sums.result()):
        for j, value in enumerate(row):
            assert value == pytest.approx(gram_cka(x[i], y[j]), abs=1e-10)


def test_similarity_of_a_layer_that_does_not_vary_is_undefined() -> None:
    sums = CkaSums()
    sums.add([torch.ones(8, 3)], [torch.randn(8, 2)])
    assert sums.result() == [[None]]


def test_normal_equations_give_the_least_squares_of_all_batches() -> None:
    draws = np.random.default_rng(1)
    x, t = draws.normal(size=(60, 4)), draws.normal(size=(60, 3))
    matrix, bias = torch.zeros(3, 4, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    equations = NormalEquations()
    for part in (slice(0, 20), slice(20, 60)):
        equations.add([LinearFit(matrix, bias, torch.tensor(x[part]), torch.tensor(t[part]))])
    equations.solve()
    wanted = np.linalg.lstsq(np.hstack([x, np.ones((60, 1))]), t, rcond=None)[0]
    np.testing.assert_allclose(np.column_stack([matrix.numpy(), bias.numpy()]), wanted.T, atol=1e-5)


@pytest.fixture(scope="module")
def minilm(world: World) -> tuple[Result, Analysis]:
    first, second = analysed(world, "minilmv2", "analyse-minilm")
    assert second.analysis is not None
    return first, second.analysis


def test_the_loss_by_the_own_objective_is_the_held_out_loss(minilm: tuple[Result, Analysis]) -> None:
    distilled, analysis = minilm
    own = next(one for one in analysis.transfers if one.objective == "minilmv2")
    assert own.fitted == ()
    assert own.loss == pytest.approx(distilled.facts["held_out_after"]["loss"], rel=1e-6)


def test_all_comparisons_have_the_depths_of_both_models(minilm: tuple[Result, Analysis]) -> None:
    analysis = minilm[1]
    assert (len(analysis.layers["cka"]), len(analysis.layers["cka"][0])) == (3, 5)
    assert all((len(analysis.layers[m]), len(analysis.layers[m][0])) == (2, 4) for m in ("qq", "kk", "vv"))
    assert not list(analysis.problems())


def test_matrices_are_fitted_where_a_method_has_them(minilm: tuple[Result, Analysis]) -> None:
    by_name = {one.objective: one for one in minilm[1].transfers}
    assert by_name["hs-uniform"].fitted == ("hidden_states",)
    assert by_name["direct-minilm"].fitted == ("qkv",)
    assert "no trained masked-LM head" in by_name["od"].missing
    assert by_name["od"].loss is None
    losses = [one.loss for one in by_name.values() if not one.missing]
    assert len(losses) == len(NAMES) - 2  # od and distilbert read the head
    assert all(loss is not None and loss > 0 for loss in losses)


def test_layers_and_relations_are_those_of_the_models_themselves(world: World) -> None:
    """Recomputed with transformers' own hidden states and NumPy."""
    _, result = analysed(world, "minilmv2", "analyse-again", blocks=4)
    assert result.analysis is not None
    site = world.site("analyse-again")
    trial = TrialFolder.of(site.runs_dir, result.trial_id).read_trial()
    assert trial is not None
    job = trial.job
    assert isinstance(job, AnalyseJob)
    teacher, student = load_source(job.teacher, site), load_source(job.student, site)
    blocks = build_blocks(
        job.corpus, teacher.tokenizer, teacher.tokenizer_sha256, job.text.length, site.sources
    )
    batches = held_out_batches(blocks, job.text, max_blocks=4)
    ids = torch.cat([batch.input_ids for batch in batches])
    true = torch.cat([torch.where(b.labels != -100, b.labels, b.input_ids) for b in batches])
    counted = ~torch.isin(true, torch.tensor(teacher.tokenizer.all_special_ids))
    assert result.analysis.tokens == int(counted.sum())
    with torch.no_grad():
        own, theirs = (
            one.model.eval()(input_ids=ids, output_hidden_states=True).hidden_states
            for one in (student, teacher)
        )
    for i, row in enumerate(result.analysis.layers["cka"]):
        for j, value in enumerate(row):
            x, y = (states[counted].double().numpy() for states in (own[i], theirs[j]))
            assert value == pytest.approx(gram_cka(x, y), abs=1e-6)
    query = [
        model.model.bert.encoder.layer[n].attention.self.query(states[n]).detach().double().numpy()
        for model, states, n in ((student, own, 1), (teacher, theirs, 3))
    ]
    assert result.analysis.layers["qq"][1][3] == pytest.approx(relation_kl(*query, heads=4), rel=1e-5)


def relation_kl(student: NDArray[np.float64], teacher: NDArray[np.float64], heads: int) -> float:
    """Mean over examples, heads and rows of KL(teacher ‖ student) of softmax(X Xᵀ/√d)."""

    def relations(x: NDArray[np.float64]) -> NDArray[np.float64]:
        split = x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        scores = split @ split.transpose(0, 1, 3, 2) / math.sqrt(split.shape[-1])
        exponentials: NDArray[np.float64] = np.exp(scores - scores.max(-1, keepdims=True))
        return exponentials / exponentials.sum(-1, keepdims=True)

    p, q = relations(teacher), relations(student)
    return float((p * np.log(p / q)).sum(-1).mean())


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_every_family_can_be_analysed_twice_with_the_same_bits(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = make_world(tmp_path_factory.mktemp(family), family)
    runs = [analysed(world, "minilmv2", name, FLAT_STUDENT)[1].analysis for name in ("one", "two")]
    assert runs[0] is not None
    assert runs[0] == runs[1]


def test_an_altered_analysis_is_found(world: World) -> None:
    _, result = analysed(world, "minilmv2", "analyse-verify")
    folder = TrialFolder.of(world.site("analyse-verify").runs_dir, result.trial_id)
    trial = folder.read_trial()
    assert trial is not None
    assert result.analysis is not None
    assert list(folder_problems(folder)) == []
    one = result.analysis.transfers[0]
    changed = [
        {"analysis": None},
        {"analysis": result.analysis.model_copy(update={"transfers": ()})},
        {
            "analysis": result.analysis.model_copy(
                update={"layers": result.analysis.layers | {"cka": ((2.0,),)}}
            )
        },
        {
            "analysis": result.analysis.model_copy(
                update={
                    "transfers": (
                        one.model_copy(update={"loss": 1e6, "missing": ""}),
                        *result.analysis.transfers[1:],
                    )
                }
            )
        },
    ]
    for change in changed:
        assert list(result_problems(trial, result.model_copy(update=change)))
