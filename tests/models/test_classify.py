"""Task heads on an encoder."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from harness.models.classify import build_classifier, encode
from harness.models.loaded import LoadedModel

from .tiny import make_batch


def test_the_encoder_is_copied_and_the_head_follows_from_the_seed(teacher: LoadedModel) -> None:
    def build(seed: int):
        torch.manual_seed(seed + 100)
        return build_classifier(teacher, 3, dropout=0.1, seed=seed).eval()

    batch = make_batch(lengths=(9, 4, 6))
    first, same, other = build(1), build(1), build(2)
    logits = first(batch.input_ids, batch.attention_mask)
    assert logits.shape == (3, 3)
    assert torch.equal(logits, same(batch.input_ids, batch.attention_mask))
    assert not torch.equal(logits, other(batch.input_ids, batch.attention_mask))
    encoder, source = first.model.base_model.state_dict(), teacher.model.base_model.state_dict()
    assert all(torch.equal(encoder[name], value) for name, value in source.items())
    assert encoder.keys() - source.keys() <= {"pooler.dense.weight", "pooler.dense.bias"}


def test_padding_changes_no_score(teacher: LoadedModel) -> None:
    model = build_classifier(teacher, 2, dropout=0.0, seed=1).eval()
    batch = make_batch(lengths=(9, 4, 6))
    alone = model(batch.input_ids[1:2, :4], None)
    among = model(batch.input_ids, batch.attention_mask)[1:2]
    torch.testing.assert_close(alone, among, rtol=1e-4, atol=1e-5)


def test_training_a_classifier_leaves_the_loaded_model_alone(teacher: LoadedModel) -> None:
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    model = build_classifier(teacher, 1, dropout=0.1, seed=1).train()
    model(make_batch().input_ids, None).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad)
    for name, value in teacher.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_outputs_carry_the_names_of_the_labels(teacher: LoadedModel) -> None:
    names = ["entailment", "neutral", "contradiction"]
    config = build_classifier(teacher, 3, dropout=0.0, seed=1, labels=names).model.config
    assert config.id2label == dict(enumerate(names))
    assert config.label2id["contradiction"] == 2
    with pytest.raises(ValueError, match="2 outputs need as many names, not 3"):
        build_classifier(teacher, 2, dropout=0.0, seed=1, labels=names)


def test_a_shipped_pooler_is_used(teacher: LoadedModel) -> None:
    if teacher.model.config.model_type != "bert":
        pytest.skip("only BERT's classifier reads a pooler of the encoder")
    pooler = {"dense.weight": torch.randn(32, 32), "dense.bias": torch.randn(32)}
    shipped = LoadedModel(teacher.model, teacher.tokenizer, teacher.shape, teacher.sha256, pooler=pooler)
    model = build_classifier(shipped, 2, dropout=0.0, seed=1).model
    assert torch.equal(model.base_model.pooler.dense.weight, pooler["dense.weight"])


def test_only_bert_tells_the_texts_of_a_pair_apart(teacher: LoadedModel) -> None:
    model = build_classifier(teacher, 2, dropout=0.0, seed=1).eval()
    assert model.uses_segments == (teacher.shape.model_type not in ("distilbert", "modernbert", "mpnet"))
    ids = make_batch().input_ids
    segments = torch.zeros_like(ids)
    assert torch.equal(model(ids, None, segments), model(ids, None))


def test_sentence_vectors_are_means_over_real_tokens(teacher: LoadedModel) -> None:
    batch = make_batch(lengths=(9, 4, 6))
    vectors = encode(teacher.model, batch.input_ids, batch.attention_mask)
    assert not vectors.requires_grad
    states = teacher.model.base_model(batch.input_ids[1:2, :4]).last_hidden_state[0]
    expected = states.mean(0, keepdim=True).detach()
    assert cosine_similarity(vectors[1:2], expected)[0, 0] == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(vectors[1:2], expected, rtol=1e-4, atol=1e-5)
