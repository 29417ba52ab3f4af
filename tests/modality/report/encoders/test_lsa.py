"""The text encoder that begins with a latent semantic analysis of the training reports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl import runs
from medcl.errors import UsageError
from medcl.evaluate.multimodal_space import embed_texts, require_multimodal
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders import LatentSemanticEncoder, build
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.pretrain.run import pretrain
from tests.evaluate.multimodal_run import IMAGE, archive
from tests.pretrain.multimodal_recipe import small

LUNG = ["pleural effusion in the lung", "nodule in the lung", "lung nodule with effusion", "pleural nodule"]
KNEE = ["meniscus tear of the knee", "ligament tear", "knee with torn meniscus and ligament", "meniscus and ligament"]


def fitted(texts: list[str], dim: int = 4, batches: int = 2) -> tuple[LatentSemanticEncoder, Tensor]:
    tokenizer = Tokenizer.train(texts, 400)
    network = build(TextEncoderConfig(name="lsa", dim=dim), tokenizer)
    assert isinstance(network, LatentSemanticEncoder)
    ids = torch.from_numpy(tokenizer(texts, 64)).long()
    network.fit(ids.tensor_split(batches))
    return network.eval(), ids


def test_reports_of_one_subject_are_near_even_without_a_word_in_common() -> None:
    network, _ = fitted(LUNG + KNEE, dim=2)
    ids = torch.from_numpy(network.tokenizer(["effusion", "nodule", "knee", "ligament"], 64)).long()
    z = F.normalize(network.embed(ids), dim=1)
    alike = z @ z.T
    assert min(alike[0, 1], alike[2, 3]) > 0.8
    assert alike[:2, 2:].max() < 0.3


def test_a_report_is_where_the_analysis_puts_it() -> None:
    texts = LUNG + KNEE
    network, ids = fitted(texts, dim=3)
    counts = np.zeros((len(texts), network.tokenizer.size))
    for row, one in zip(counts, ids, strict=True):
        np.add.at(row, one[network.keep(one[None])[0]].numpy(), 1)
    rarity = np.log((1 + len(texts)) / (1 + (counts > 0).sum(0))) + 1
    weighted = counts * rarity
    _, _, directions = np.linalg.svd(weighted / np.linalg.norm(weighted, axis=1, keepdims=True), full_matrices=False)
    places = (weighted / (ids != 0).sum(1, keepdim=True).numpy()) @ directions[:3].T
    places -= places.mean(0)
    places /= places.std()
    signs = np.sign((places * network.embed(ids).detach().numpy()).sum(0))
    np.testing.assert_allclose(network.embed(ids).detach().numpy(), places * signs, atol=1e-3)


def test_batches_and_padding_change_nothing() -> None:
    texts = LUNG + KNEE
    (one, ids), (many, _) = fitted(texts, batches=1), fitted(texts, batches=5)
    torch.testing.assert_close(one.words.weight, many.words.weight)
    torch.testing.assert_close(one.embed(F.pad(ids, (0, 7))), one.embed(ids))
    places = one.embed(ids)
    torch.testing.assert_close(places.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    assert places.var(unbiased=False).item() == pytest.approx(1, abs=1e-4)


def test_more_directions_than_there_are_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"dim=16: 8 training reports with \d+ different tokens have 8 directions; set at most"
    ):
        fitted(LUNG + KNEE, dim=16)
    with pytest.raises(UsageError, match="all training reports have the same words"):
        fitted(LUNG[:1] * 8, dim=2)
    with pytest.raises(UsageError, match="pools tokens by their mean, got pooling='cls'"):
        build(TextEncoderConfig(name="lsa", pooling="cls"), Tokenizer.train(LUNG, 400))
    with pytest.raises(UsageError, match="`lsa` has no weights to keep"):
        build(TextEncoderConfig(name="lsa", lora=4), Tokenizer.train(LUNG, 400))


def test_a_run_keeps_it_and_may_lock_it(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "archive")
    report = {
        "modality": "report",
        "data": {"draw": "whole", "length": 24},
        "encoder": {"name": "lsa", "dim": 6, "dropout": 0.0, "vocabulary": 400, "patients": 2},
    }
    found = {}
    for locked in (True, False):
        folder = tmp_path / f"run{locked}"
        recipe = small(4, inputs={"image": IMAGE, "report": {**report, "locked": locked}})
        pretrain(recipe, manifest, tmp_path / "store", folder)
        run = require_multimodal(runs.load(folder))
        found[locked] = run.encoder.side("report").words.weight.detach().clone()
        z = embed_texts(run, ["The picture shows vertical stripes all over.", "The picture shows a checkerboard."])
        assert z.isfinite().all()
        assert not torch.allclose(z[0], z[1])
    assert not torch.equal(found[True], found[False]), "trained further where it is not locked"
    torch.testing.assert_close(found[True], found[False], atol=0.1, rtol=0)
