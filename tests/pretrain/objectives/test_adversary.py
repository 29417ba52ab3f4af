"""An adversary learns to read a nuisance off the embeddings; the encoder gets its gradient with another sign."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read

from .steps import BITS, Trained, batch_of, bits

SITE = {"kind": "adversary", "of": "image", "nuisance": "site", "strength": 0.5}


def trained_on(site: list[int]) -> tuple[Trained, dict[str, Any]]:
    torch.manual_seed(0)
    batch = batch_of({"image": torch.randn(len(site), BITS)})
    batch["ids"]["label:site"] = torch.tensor(site)
    return Trained({"site": SITE}, bits("image")), batch


def test_the_encoder_is_taught_the_contrary() -> None:
    trained, batch = trained_on([0, 1, 1, -5, 0])
    loss = trained(batch)["site"]
    own: Any = trained.objectives["site"]
    known = torch.tensor([0, 1, 2, 4])
    z = trained.encoders["image"](batch["inputs"]["image"])[:, 0]
    plain = F.cross_entropy(own.classifier(z[known]), batch["ids"]["label:site"][known])
    torch.testing.assert_close(loss, plain)
    for module, sign in ((own.classifier, 1.0), (trained.encoders["image"], -0.5)):
        for parameter in module.parameters():
            (found,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            (expected,) = torch.autograd.grad(plain, parameter, retain_graph=True)
            torch.testing.assert_close(found, sign * expected)


def test_more_values_than_were_said_are_refused() -> None:
    trained, batch = trained_on([0, 2, 1])
    with pytest.raises(UsageError, match="objectives.site.values: 2, but the column site has more"):
        trained(batch)


def test_an_adversary_without_a_nuisance_is_refused() -> None:
    with pytest.raises(UsageError, match="objectives.site.nuisance: names the column"):
        check(read({"inputs": {"image": {}}, "objectives": {"site": {"kind": "adversary", "of": "image"}}}))
