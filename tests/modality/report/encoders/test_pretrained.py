"""Text encoders from transformers models."""

import copy
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from medcl.errors import MedclError, UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders import TextEncoder, build
from medcl.modality.report.encoders.tokens import Tokenizer
from tests.modality.report.encoders import pretrained_texts

TEXTS = ["the heart is normal", "no effusion", "small left lung"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained_texts.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained_texts.roberta(tmp_path_factory.mktemp("roberta"))


def made(folder: Path, **settings: int | str) -> tuple[TextEncoder, Tokenizer]:
    torch.manual_seed(1)
    tokenizer = Tokenizer.of_model(str(folder))
    config = replace(TextEncoderConfig(name=str(folder), dim=32), **settings)  # type: ignore[arg-type]
    return build(config, tokenizer), tokenizer


def ids(tokenizer: Tokenizer, texts: list[str] = TEXTS, padding: int = 0) -> Tensor:
    return F.pad(torch.from_numpy(tokenizer(texts, 20)).long(), (0, padding))


def plainly(folder: Path, texts: list[str]) -> Tensor:
    """Mean over the tokens of what the model itself returns, as its library is called."""
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        dense = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return (dense * mask).sum(1) / mask.sum(1)


def test_a_real_sentence_encoder_gives_what_its_library_gives() -> None:
    folder = pretrained_texts.sentence_encoder()
    texts = ["There is no pleural effusion.", "The pleural space holds no fluid.", "The patient likes to play chess."]
    model, tokenizer = made(folder, dim=384)
    with torch.no_grad():
        z = F.normalize(model.eval().embed(ids(tokenizer, texts, padding=5)), dim=1)
    torch.testing.assert_close(z, F.normalize(plainly(folder, texts), dim=1), rtol=1e-4, atol=1e-5)
    similarity = z @ z.T
    assert similarity[0, 1] > 0.5 > max(similarity[0, 2], similarity[1, 2])


def test_a_model_that_pads_with_another_id_is_given_its_own(roberta: Path) -> None:
    model, tokenizer = made(roberta)
    x = ids(tokenizer)
    assert tokenizer.padding == 1
    assert (x[1, 4:] == 0).all()
    assert (x[:, 0] == 1).all()
    assert [tokenizer.decode(row) for row in x] == TEXTS
    assert model.keep(x).sum(1).tolist() == [4, 2, 3]
    with torch.no_grad():
        torch.testing.assert_close(model.eval().embed(x), plainly(roberta, TEXTS))
        torch.testing.assert_close(model.embed(F.pad(x, (0, 7))), model.embed(x))
    assert model.keep(ids(tokenizer, ["the banana is normal"])).sum() == 4, "an unknown word is a word"
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.padding == 1
    assert (again(TEXTS, 20) == tokenizer(TEXTS, 20)).all()


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_padding_changes_nothing(kind: str, pooling: str, request: pytest.FixtureRequest) -> None:
    model, tokenizer = made(request.getfixturevalue(kind), pooling=pooling, dim=8)
    model.eval()
    x = ids(tokenizer)
    torch.testing.assert_close(model.embed(F.pad(x, (0, 9))), model.embed(x))
    torch.testing.assert_close(model.embed(x[1:2, :4])[0], model.embed(x)[1])
    assert not model(x)[x == 0].any()
    assert not model.embed(torch.zeros(2, 5, dtype=torch.long)).any()


def test_frozen_layers_stay_as_they_are(bert: Path) -> None:
    model, tokenizer = made(bert, freeze=2, dim=8)
    model.train()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.1)
    model.embed(ids(tokenizer)).square().sum().backward()
    optimiser.step()
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    frozen = ("model.embeddings.", "model.encoder.layer.0.", "model.encoder.layer.1.")
    assert {name for name in before if name.startswith(frozen)}.isdisjoint(changed)
    assert {name for name, one in model.named_parameters() if one.grad is None} == {
        name for name in before if name.startswith(frozen)
    }
    assert all(
        name in changed for name in before if name.startswith("output.") or name.endswith("layer.2.output.dense.weight")
    )
    twin = copy.deepcopy(model).eval().train()
    assert not twin.get_submodule("model.encoder.layer.0").training
    inside = [part for name, part in model.named_modules() if name.startswith("model.encoder.layer.1")]
    assert not any(part.training for part in inside)
    assert model.get_submodule("model.encoder.layer.2").training


def test_a_whole_model_can_be_frozen(bert: Path) -> None:
    model, tokenizer = made(bert, freeze=-1, dim=8)
    model.train()
    assert {name for name, one in model.named_parameters() if one.requires_grad} == {"output.weight", "output.bias"}
    torch.testing.assert_close(model.embed(ids(tokenizer)), model.embed(ids(tokenizer)))


def test_low_rank_updates_are_all_that_is_trained_and_are_kept(bert: Path, tmp_path: Path) -> None:
    model, tokenizer = made(bert, lora=4, freeze=1, dim=8)
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    assert trained >= {"output.weight", "output.bias"}
    low_rank = {name for name in trained if "lora_" in name}
    assert trained == low_rank | {"output.weight", "output.bias"}
    assert len(low_rank) == 2 * 3 * 2, "two factors of three projections in the two layers that are not frozen"
    optimiser = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        model.embed(ids(tokenizer)).square().sum().backward()
        optimiser.step()
    save_file({name: one.contiguous() for name, one in model.state_dict().items()}, tmp_path / "encoder.safetensors")
    config = replace(model.config, name=str(tmp_path / "gone"))
    again = build(config, Tokenizer.from_json(tokenizer.to_json()), model.architecture)
    again.load_state_dict(load_file(tmp_path / "encoder.safetensors"))
    plain, _ = made(bert, dim=8)
    torch.testing.assert_close(again.eval().embed(ids(tokenizer)), model.eval().embed(ids(tokenizer)))
    assert not torch.allclose(plain.eval().model(ids(tokenizer))[0], again.model(ids(tokenizer))[0], atol=1e-3)  # type: ignore[operator]


def test_the_network_is_rebuilt_from_its_architecture_alone(roberta: Path, tmp_path: Path) -> None:
    model, tokenizer = made(roberta, dim=8)
    assert model.architecture is not None
    assert str(roberta) not in model.architecture
    again = build(replace(model.config, name="nobody/nothing"), tokenizer, model.architecture)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.eval().embed(ids(tokenizer)), model.eval().embed(ids(tokenizer)))
    for broken in ("{}", "[]", "{", '{"model_type": "nonsense"}'):
        with pytest.raises(UsageError, match="not the architecture"):
            build(model.config, tokenizer, broken)


def test_a_tokenizer_of_another_model_is_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="embeds 30: it is the tokenizer of another model"):
        build(TextEncoderConfig(name=str(bert)), Tokenizer.train(["normal heart"], 300))


def test_more_tokens_than_positions_are_refused(bert: Path, roberta: Path) -> None:
    for folder in (bert, roberta):
        model, _ = made(folder)
        assert model.eval()(torch.full((1, 24), 5)).shape == (1, 24, 32)
        with pytest.raises(UsageError, match="at most 24 tokens, got 25"):
            model(torch.full((1, 25), 5))


def test_a_model_that_is_not_there_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    for read in (Tokenizer.of_model, lambda name: build(TextEncoderConfig(name=name), Tokenizer.train(["a b"], 300))):
        with pytest.raises(MedclError, match="no such folder"):
            read(str(tmp_path / "nothing"))
        with pytest.raises(MedclError, match=r"neither a folder .*someone/nothing nor .* in the cache .*hub"):
            read("someone/nothing")
        with pytest.raises(MedclError, match="not the folder of a transformers model"):
            read(str(tmp_path))


def test_a_hub_name_is_read_from_the_cache_without_a_network(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "models--someone--tiny"
    shutil.copytree(bert, model / "snapshots" / "0" / "")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda *address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **kinds: asked.append(address))
    tokenizer = Tokenizer.of_model("someone/tiny")
    found = build(TextEncoderConfig(name="someone/tiny", dim=32), tokenizer)
    torch.testing.assert_close(found.eval().embed(ids(tokenizer)), made(bert)[0].eval().embed(ids(tokenizer)))
    assert not asked


def test_a_pickled_checkpoint_is_not_opened(bert: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((bert / name).read_bytes())
    torch.save(load_file(bert / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(MedclError, match="holds no weights as .safetensors"):
        made(tmp_path)


def test_damaged_files_and_weights_that_are_missing_are_refused(bert: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((bert / name).read_bytes())
    weights = load_file(bert / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MedclError, match="lacks 1 weights of the network, such as encoder.layer.1"):
        made(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(MedclError, match="network of the transformers model cannot be read"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"), [({"freeze": 4}, "the model has 3 layers"), ({"freeze": -1, "lora": 2}, "one of the two")]
)
def test_freezing_that_cannot_be_meant_is_refused(bert: Path, settings: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(bert, **settings)
