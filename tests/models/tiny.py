"""Tiny models of every family, made on the spot from transformers' own configs, with a tokenizer of
letters."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from harness.methods.loss import Batch

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "distilbert", "modernbert", "camembert", "electra", "mpnet")
VOCABULARY = 40
WORDS = [chr(ord("a") + i) for i in range(26)]
SPECIALS = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def tiny_config(
    model_type: str,
    layers: int = 4,
    width: int = 32,
    heads: int = 4,
    ffn: int = 48,
    vocabulary: int = VOCABULARY,
) -> PreTrainedConfig:
    """A config of the family; weights drawn wide, so that layers differ visibly."""
    shared = {
        "vocab_size": vocabulary,
        "pad_token_id": 1,
        "max_position_embeddings": 66,
        "initializer_range": 0.3,
    }
    if model_type == "distilbert":
        return DistilBertConfig(**shared, n_layers=layers, dim=width, n_heads=heads, hidden_dim=ffn)
    if model_type == "modernbert":  # a window of 2 to either side, which bites in a batch of 9 tokens
        roles = {"bos_token_id": 0, "cls_token_id": 0, "eos_token_id": 2, "sep_token_id": 2}
        return ModernBertConfig(
            **shared,
            **roles,
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=ffn,
            local_attention=4,
        )
    of_type: dict[str, type[PreTrainedConfig]] = {
        "bert": BertConfig,
        "roberta": RobertaConfig,
        "xlm-roberta": XLMRobertaConfig,
        "camembert": CamembertConfig,
        "electra": ElectraConfig,
        "mpnet": MPNetConfig,
    }
    if model_type == "electra":
        shared["embedding_size"] = width
    return of_type[model_type](
        **shared,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=ffn,
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Letters as words."""
    vocabulary = {token: i for i, token in enumerate([*SPECIALS.values(), *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIALS)


def tiny_model(model_type: str, seed: int = 0, **size: int) -> PreTrainedModel:
    """A randomly initialised `...ForMaskedLM` in eval mode, biases and norms drawn too."""
    torch.manual_seed(seed)
    model = AutoModelForMaskedLM.from_config(tiny_config(model_type, **size))
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name.lower():
            torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.2)
    return model.eval()


def make_batch(rows: int = 3, tokens: int = 9, lengths: tuple[int, ...] | None = None) -> Batch:
    """Random letters between <s> and </s>; `lengths` cuts rows, padding the rest."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(5, 5 + len(WORDS), (rows, tokens), generator=generator)
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    for row, length in enumerate(lengths or ()):
        ids[row, length:] = 1
        mask[row, length:] = False
    return Batch(ids, mask, torch.full_like(ids, -100), padded=lengths is not None)
