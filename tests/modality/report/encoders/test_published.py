"""Sentence encoders as their folders describe them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from medcl.errors import MedclError, UsageError
from medcl.modality.report.encoders.published import published

from .pretrained_texts import bert, roberta, sentence_encoder


def say(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def test_the_width_is_the_models_and_tokens_are_averaged(tmp_path: Path) -> None:
    for make, longest in ((bert, 24), (roberta, 24)):
        encoder, length = published(str(make(tmp_path / make.__name__)))
        assert (encoder.config.dim, length, encoder.training) == (32, longest, False)
        ids = torch.from_numpy(encoder.tokenizer(["the heart is normal", "no effusion"], length))
        dense = encoder(ids)
        torch.testing.assert_close(encoder.embed(ids)[1], dense[1, : int((ids[1] != 0).sum())].mean(dim=0))


def test_a_folder_says_how_it_pools_and_what_is_cut(tmp_path: Path) -> None:
    folder = bert(tmp_path / "model")
    say(folder, "sentence_bert_config.json", {"max_seq_length": 7})
    for key, pooling in (("cls_token", "cls"), ("max_tokens", "max"), ("mean_tokens", "mean")):
        modes = {f"pooling_mode_{one}": one == key for one in ("cls_token", "max_tokens", "mean_tokens")}
        say(folder, "1_Pooling/config.json", {"word_embedding_dimension": 32, **modes})
        encoder, length = published(str(folder))
        assert (encoder.config.pooling, length) == (pooling, 7)


def test_what_is_not_read_is_refused(tmp_path: Path) -> None:
    folder = bert(tmp_path / "model")
    say(folder, "1_Pooling/config.json", {"pooling_mode_lasttoken": True})
    with pytest.raises(UsageError, match="pools by pooling_mode_lasttoken; one of pooling_mode_cls_token"):
        published(str(folder))
    say(folder, "modules.json", [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])
    with pytest.raises(UsageError, match="has a module Dense, which is not read"):
        published(str(folder))
    (folder / "modules.json").write_text("{")
    with pytest.raises(MedclError, match=r"modules.json: cannot be read as JSON"):
        published(str(folder))


def test_a_real_one_finds_a_paraphrase() -> None:
    encoder, length = published(str(sentence_encoder()))
    assert (encoder.config.dim, length) == (384, 256)
    texts = ["There is fluid around the left lung.", "Left pleural effusion.", "The bones are intact."]
    with torch.inference_mode():
        z = F.normalize(encoder.embed(torch.from_numpy(encoder.tokenizer(texts, length))), dim=1)
    assert z[0] @ z[1] > z[0] @ z[2] + 0.1
