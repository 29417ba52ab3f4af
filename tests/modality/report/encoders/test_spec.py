"""Text encoders in a run: weights, tokenizer and settings in one file that needs nothing else."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from medcl import runs
from medcl.errors import UsageError
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.report.encoders import build
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.spec import TextCard, from_json, to_json
from tests.modality.report.encoders import pretrained_texts

TEXTS = ["the heart is normal", "no effusion"]


def kept(folder: Path, config: TextEncoderConfig, tokenizer: Tokenizer) -> None:
    """Save an encoder in a run and compare what is loaded with it."""
    torch.manual_seed(0)
    encoder = build(config, tokenizer)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    card = TextCard(config, tokenizer.to_json(), encoder.architecture, asdict(TextConfig(sections=("IMPRESSION",))))
    runs.start(folder, {}, runs.SeenPatients.of([1], "x"))
    runs.save_encoder(folder, encoder, card)
    run = runs.load(folder)
    assert run.card.encoder == config
    assert TextConfig(**{**run.card.data, "sections": tuple(run.card.data["sections"])}).sections == ("IMPRESSION",)
    again = Tokenizer.from_json(run.card.tokenizer)
    assert again.fingerprint == tokenizer.fingerprint
    ids = torch.from_numpy(again(TEXTS, 20))
    torch.testing.assert_close(run.encoder.embed(ids), encoder.eval().embed(ids))


def test_an_encoder_from_scratch_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    kept(tmp_path, TextEncoderConfig(dim=16, hidden=32), Tokenizer.train(TEXTS * 3, 300))


@pytest.mark.parametrize("lora", [0, 2])
def test_a_pretrained_encoder_is_loaded_without_its_model(tmp_path: Path, lora: int) -> None:
    folder = pretrained_texts.roberta(tmp_path / "model")
    tokenizer = Tokenizer.of_model(str(folder))
    config = TextEncoderConfig(name=str(folder), dim=16, freeze=1, lora=lora)
    kept(tmp_path / "run", config, tokenizer)
    for path in folder.iterdir():
        path.unlink()
    again = runs.load(tmp_path / "run").encoder
    frozen = [name for name, weight in again.named_parameters() if not weight.requires_grad]
    assert any(name.startswith("model.encoder.layer.0.") for name in frozen)


def test_a_card_is_text_and_back(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS * 3, 300)
    card = TextCard(TextEncoderConfig(), tokenizer.to_json(), None, {"length": 64})
    assert from_json(to_json(card)) == card
    with pytest.raises(UsageError, match="does not hold its architecture"):
        replace(card, encoder=TextEncoderConfig(name="a/model")).build()
