"""Terms, values and gradients, against peers' code and independent float64 evaluations."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.methods.loss import QKV, Activations
from harness.methods.losses.hidden_states import HiddenStatesLoss
from harness.methods.losses.logits import LogitsLoss
from harness.methods.losses.qkv import QkvLoss
from harness.methods.losses.relations import RelationsLoss
from harness.methods.mappings import Uniform
from harness.methods.objective import build_objective
from harness.methods.terms import (
    AttentionProbs,
    Cosine,
    HiddenStates,
    Logits,
    Mlm,
    Qkv,
    Relations,
)

from .adapters import (
    assert_gradients,
    batch_of,
    double_inputs,
    entropy_of,
    mean,
    one_layer,
    predictions,
    shape,
)
from .cases import GoldenCase

STUDENT = ("student_q", "student_k", "student_v")


# Relations ----------------------------------------


def _is_models(case: GoldenCase) -> bool:
    return "models" in case.document


@pytest.mark.golden("minilmv2-relations")
def test_relations_of_given_projections(golden_case: GoldenCase) -> None:
    if _is_models(golden_case):
        pytest.skip("this case holds models, not projections")
    tensors = double_inputs(golden_case, *STUDENT)
    parameters, expected = golden_case.document["hyper_parameters"], golden_case.expected
    batch = batch_of(tensors.get("attention_mask"), tensors["student_q"])
    teacher, student = one_layer(tensors, "teacher"), one_layer(tensors, "student")
    sizes = shape(tensors["teacher_q"].shape[-1]), shape(tensors["student_q"].shape[-1])

    def relations(*pairs: str) -> Tensor:
        params = Relations.model_validate({"pairs": pairs, "heads": parameters["A_r"]})
        return mean(RelationsLoss(params, *sizes), teacher, student, batch)

    loss = relations("qq", "kk", "vv")
    golden_case.assert_scalar(loss.item(), expected["loss"], "loss")
    for pair in ("qq", "kk", "vv"):
        golden_case.assert_scalar(relations(pair).item(), expected[f"loss_{pair}"], f"loss_{pair}")
    assert_gradients(golden_case, loss, {name: tensors[name] for name in STUDENT})


@pytest.mark.golden("minilmv2-relations")
def test_relations_of_whole_models(golden_case: GoldenCase) -> None:
    if not _is_models(golden_case):
        pytest.skip("this case holds projections, not models")
    tensors = golden_case.tensors()
    parameters = golden_case.document["hyper_parameters"]
    inputs = {
        name: tensors[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in tensors
    }
    models, activations = {}, {}
    for name, layer in (("teacher", parameters["L"]), ("student", parameters["M"])):
        models[name] = _bert(golden_case, name)
        activations[name] = Activations(qkv={layer: _projections(models[name], layer, inputs)})
    sizes = {n: shape(m.config.hidden_size, m.config.num_hidden_layers) for n, m in models.items()}
    params = Relations(heads=parameters["A_r"], teacher_layer=parameters["L"], student_layer=parameters["M"])
    term = RelationsLoss(params, sizes["teacher"], sizes["student"])
    batch = batch_of(inputs["attention_mask"], inputs["input_ids"])
    loss = mean(term, activations["teacher"], activations["student"], batch)
    golden_case.assert_scalar(loss.item(), golden_case.expected["loss"], "loss")
    attention = models["student"].encoder.layer[parameters["M"] - 1].attention.self
    checked = 0
    for name, want in tensors.items():
        if name.startswith("expected.grad"):
            part, kind = name.removeprefix("expected.grad_student_").split("_")
            parameter = getattr(getattr(attention, part), kind)
            (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            golden_case.assert_tensor(gradient, want, name)
            checked += 1
    assert checked >= 3


def _bert(case: GoldenCase, name: str) -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(**case.document["models"][name])
    model = BertModel(config, add_pooling_layer=False).eval()
    prefix = f"{name}."
    weights = {k.removeprefix(prefix): v for k, v in case.tensors().items() if k.startswith(prefix)}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all("position_ids" in key or "token_type_ids" in key for key in missing)
    return model.double()


def _projections(model: torch.nn.Module, layer: int, inputs: dict[str, Tensor]) -> QKV:
    seen: dict[str, Tensor] = {}
    attention = model.encoder.layer[layer - 1].attention.self
    hooks = [
        getattr(attention, part).register_forward_hook(lambda *call, part=part: seen.update({part: call[2]}))
        for part in ("query", "key", "value")
    ]
    model(**inputs)
    for hook in hooks:
        hook.remove()
    return QKV(seen["query"], seen["key"], seen["value"])


@pytest.mark.golden("minilmv1")
def test_minilm_is_attention_and_value_relations(golden_case: GoldenCase) -> None:
    tensors = double_inputs(golden_case, *STUDENT)
    heads, expected = golden_case.document["hyper_parameters"]["A_h"], golden_case.expected
    sizes = [shape(tensors[f"{who}_q"].shape[-1], heads=heads) for who in ("teacher", "student")]
    objective = build_objective(
        [AttentionProbs(), Relations(pairs=("vv",), weights=(1.0,), heads=heads)], *sizes
    )
    batch = batch_of(tensors.get("attention_mask"), tensors["student_q"])
    sums = objective(one_layer(tensors, "teacher"), one_layer(tensors, "student"), batch)
    loss, values = objective.loss(sums, objective.counts(batch))
    golden_case.assert_scalar(values["attention_probs"].item(), expected["loss_at"], "loss_at")
    golden_case.assert_scalar(values["relations"].item(), expected["loss_vr"], "loss_vr")
    golden_case.assert_scalar(loss.item(), expected["loss"], "loss")
    assert_gradients(golden_case, loss, {name: tensors[name] for name in STUDENT})


@pytest.mark.golden("direct-minilm")
def test_direct_minilm(golden_case: GoldenCase) -> None:
    tensors = double_inputs(golden_case, *STUDENT)
    heads, expected = golden_case.document["hyper_parameters"]["A_r"] or "whole", golden_case.expected
    sizes = [shape(tensors[f"{who}_q"].shape[-1]) for who in ("teacher", "student")]
    term = QkvLoss(Qkv(heads=heads), *sizes).double()
    with torch.no_grad():
        term.weight.copy_(tensors["projection"].reshape(term.weight.shape))
    batch = batch_of(tensors.get("attention_mask"), tensors["student_q"])
    loss = mean(term, one_layer(tensors, "teacher"), one_layer(tensors, "student"), batch)
    golden_case.assert_scalar(loss.item(), expected["loss"], "loss")
    assert_gradients(golden_case, loss, {name: tensors[name] for name in STUDENT})
    (gradient,) = torch.autograd.grad(loss, term.weight)
    want = golden_case.tensors()["expected.grad_projection"]
    golden_case.assert_tensor(gradient.reshape(want.shape), want, "gradient of projection")


# Hidden states ----------------------------------------


@pytest.mark.golden("hidden-mse")
def test_hidden_states(golden_case: GoldenCase) -> None:
    tensors = double_inputs(golden_case, "student_hidden")
    student, teacher = tensors["student_hidden"], tensors["teacher_hidden"]
    weight, bias = tensors["projection_weight"], tensors["projection_bias"]
    several = student.ndim == 4  # stacked layers; one W a pair
    parameters = golden_case.document["hyper_parameters"]
    pairs = [tuple(pair) for pair in parameters["pairs_student_teacher"]] if several else [(1, 1)]
    losses, matrices = [], []
    like = student[0] if several else student
    batch = batch_of(tensors.get("attention_mask"), like)
    for index, (i, j) in enumerate(pairs):
        # The peer pairs layers freely and sums; one pair at a time through `last`, each with its own matrix.
        term = HiddenStatesLoss(
            HiddenStates.model_validate({"mapping": "last", "bias": True}),
            shape(teacher.shape[-1]),
            shape(student.shape[-1]),
        ).double()
        matrix = next(iter(term.projection.matrices.values()))
        with torch.no_grad():
            matrix.weight.copy_(weight[index] if several else weight)
            matrix.bias.copy_(bias[index] if several else bias)
        mine = Activations(hidden={1: student[i] if several else student})
        theirs = Activations(hidden={1: teacher[j] if several else teacher})
        losses.append(mean(term, theirs, mine, batch))
        matrices.append(matrix)
    factors = parameters.get("weights", [1.0] * len(pairs))
    loss = sum(
        (w * one for w, one in zip(factors, losses, strict=True)), torch.zeros((), dtype=torch.float64)
    )
    golden_case.assert_scalar(loss.item(), golden_case.expected["loss"], "loss")
    for got, want in zip(losses, golden_case.expected.get("loss_per_pair", []), strict=False):
        golden_case.assert_scalar(got.item(), want, "loss of a pair")
    assert_gradients(golden_case, loss, {"student_hidden": student})
    if not several:
        assert_gradients(
            golden_case, loss, {"projection_weight": matrices[0].weight, "projection_bias": matrices[0].bias}
        )


@pytest.mark.golden("hidden-mse")
def test_several_pairs_of_a_uniform_mapping_are_one_term(golden_case: GoldenCase) -> None:
    tensors = double_inputs(golden_case, "student_hidden")
    student, teacher = tensors["student_hidden"], tensors["teacher_hidden"]
    if student.ndim != 4:
        pytest.skip("one pair of layers")
    parameters = golden_case.document["hyper_parameters"]
    pairs = [tuple(pair) for pair in parameters["pairs_student_teacher"]]
    layers = {"student": len(student) - 1, "teacher": len(teacher) - 1}
    mapping = Uniform(include_embeddings=True)
    uniform = [(i, j) for i, js in mapping.layers(layers["teacher"], layers["student"]).items() for j in js]
    if pairs != uniform:
        pytest.skip(f"the pairs {pairs} are not those of a uniform mapping, {uniform}")
    params = HiddenStates.model_validate(
        {
            "mapping": mapping,
            "projection": "per_pair",
            "bias": True,
            "reduce": "sum",
            "pair_weights": parameters.get("weights"),
        }
    )
    sizes = shape(teacher.shape[-1], layers["teacher"]), shape(student.shape[-1], layers["student"])
    term = HiddenStatesLoss(params, *sizes).double()
    with torch.no_grad():
        for index, (i, j) in enumerate(pairs):
            matrix = term.projection.matrices[f"layer_{i}_{j}"]
            matrix.weight.copy_(tensors["projection_weight"][index])
            matrix.bias.copy_(tensors["projection_bias"][index])
    batch = batch_of(tensors.get("attention_mask"), student[0])
    mine, theirs = Activations(hidden=dict(enumerate(student))), Activations(hidden=dict(enumerate(teacher)))
    loss = mean(term, theirs, mine, batch)
    golden_case.assert_scalar(loss.item(), golden_case.expected["loss"], "loss")
    assert_gradients(golden_case, loss, {"student_hidden": student})


@pytest.mark.parametrize("states", [4, 5, 6])
def test_pairs_that_are_no_uniform_mapping_are_skipped_whatever_their_weights(states: int, tmp_path) -> None:
    pairs = [[0, 0], [1, 1], [2, 5], [3, 6]]
    document = {"hyper_parameters": {"pairs_student_teacher": pairs, "weights": [1.0] * len(pairs)}}
    tensors = {"student_hidden": torch.zeros(states, 1, 2, 3), "teacher_hidden": torch.zeros(7, 1, 2, 3)}
    case = GoldenCase(tmp_path / "case.json", document)
    save_file(tensors, case.path.with_suffix(".safetensors"))
    with pytest.raises(pytest.skip.Exception, match="not those of a uniform mapping"):
        test_several_pairs_of_a_uniform_mapping_are_one_term(case)


# Output distribution ----------------------------------------


@pytest.mark.golden("output-distribution")
def test_output_distribution(golden_case: GoldenCase) -> None:
    tensors = double_inputs(golden_case, "student_logits")
    logits = tensors["student_logits"]
    lead = (1, *logits.shape[:1]) if logits.ndim == 2 else logits.shape[:2]
    mask = tensors.get("position_mask")
    chosen = torch.ones(lead, dtype=torch.bool) if mask is None else mask.bool().reshape(lead)
    flat = logits.reshape(*lead, -1)
    batch = batch_of(None, flat, labels=torch.where(chosen, 0, -100))
    teacher = predictions(tensors["teacher_logits"].reshape(flat.shape))
    student = predictions(flat)
    size = shape(flat.shape[-1], vocabulary=flat.shape[-1])
    expected = golden_case.tensors()
    for key, want in golden_case.expected.items():
        name = key.removeprefix("t=")
        t = float(name)

        def kl(scale_t2: bool, t: float = t) -> Tensor:
            term = LogitsLoss(Logits(temperature=t, positions="masked", scale_t2=scale_t2), size, size)
            return mean(term, teacher, student, batch)

        plain, scaled = kl(scale_t2=False), kl(scale_t2=True)
        golden_case.assert_scalar(plain.item(), want["kl_batchmean"], f"KL at t={name}")
        golden_case.assert_scalar(scaled.item(), want["kl_batchmean_times_t2"], f"t²·KL at t={name}")
        entropy = entropy_of(tensors["teacher_logits"].reshape(flat.shape)[chosen] / t).mean()
        golden_case.assert_scalar((plain + entropy).item(), want["textbrewer_kd_ce"], f"CE at t={name}")
        for loss, wanted in (
            (plain, f"expected.grad_kd_ce_t{name}"),
            (scaled, f"expected.grad_kl_times_t2_t{name}"),
        ):
            (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
            golden_case.assert_tensor(gradient, expected[wanted], wanted)


@pytest.mark.golden("distilbert-triple")
def test_distilbert(golden_case: GoldenCase) -> None:
    tensors = double_inputs(golden_case, "student_logits", "student_hidden")
    parameters, expected = golden_case.document["hyper_parameters"], golden_case.expected
    logits, hidden = tensors["student_logits"], tensors["student_hidden"]
    batch = batch_of(tensors.get("attention_mask"), logits, labels=tensors["mlm_labels"])
    positions = "masked" if parameters["restrict_ce_to_mask"] else "all"
    vocabulary, width = shape(logits.shape[-1], vocabulary=logits.shape[-1]), shape(hidden.shape[-1])
    on_logits = build_objective(
        [
            Logits(weight=parameters["alpha_ce"], temperature=parameters["temperature"], positions=positions),
            Mlm(weight=parameters["alpha_mlm"]),
        ],
        vocabulary,
        vocabulary,
    )
    on_states = build_objective([Cosine(weight=parameters["alpha_cos"])], width, width)
    first, values = on_logits.loss(
        on_logits(predictions(tensors["teacher_logits"]), predictions(logits), batch), on_logits.counts(batch)
    )
    states = Activations(hidden={1: tensors["teacher_hidden"]}), Activations(hidden={1: hidden})
    second, more = on_states.loss(on_states(*states, batch), on_states.counts(batch))
    loss = first + second
    for name, value in (("ce", values["logits"]), ("mlm", values["mlm"]), ("cos", more["cosine"])):
        golden_case.assert_scalar(value.item(), expected[f"loss_{name}"], f"loss_{name}")
    golden_case.assert_scalar(loss.item(), expected["loss"], "loss")
    assert_gradients(golden_case, loss, {"student_logits": logits, "student_hidden": hidden})
