"""MERU's two losses on tensors, and what is refused."""

from typing import Any

import pytest
import torch

from medcl.contrast.losses.clip import clip
from medcl.contrast.pairings.pairs import itself
from medcl.contrast.similarities.hyperbolic import entailment, lifted, lorentz
from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read

from .steps import BITS, Trained, batch_of, bits

PAIR: dict[str, Any] = {"kind": "meru", "between": ["image", "text"], "head": {"hidden": 0, "dim": 8}}


def test_the_losses_are_clip_of_distances_and_the_cones() -> None:
    trained = Trained({"pair": PAIR}, bits("image", "text"))
    x = {name: torch.randn(5, BITS) for name in ("image", "text")}
    found = trained(batch_of(x))
    objective: Any = trained.objectives["pair"]
    image, text = (
        lifted(objective.head(name)(trained.encoders[name](x[name])[:, 0]) / 8**0.5, 1.0) for name in ("image", "text")
    )
    expected = clip(image, text, itself(image), temperature=0.07, similarity=lorentz)
    torch.testing.assert_close(found["pair.contrast"], expected)
    torch.testing.assert_close(found["pair.entailment"], entailment(text, image).mean())
    sum(found.values()).backward()
    assert objective.log_curvature.grad.abs() > 0
    assert trained.recipe.objectives["pair"].losses == {"contrast": 1.0, "entailment": 0.2}


def test_training_puts_texts_nearer_to_the_origin_than_what_they_are_of() -> None:
    torch.manual_seed(0)
    trained = Trained({"pair": PAIR}, bits("image", "text"))
    x = {name: torch.randn(8, BITS) for name in ("image", "text")}
    optimiser = torch.optim.Adam(trained.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        losses = trained(batch_of(x))
        (losses["pair.contrast"] + losses["pair.entailment"]).backward()
        optimiser.step()
    objective: Any = trained.objectives["pair"]
    lengths = {
        name: objective.points(name, objective.head(name)(trained.encoders[name](x[name])[:, 0])).norm(dim=1).mean()
        for name in x
    }
    assert losses["pair.entailment"] < 0.1
    assert lengths["text"] < lengths["image"]


@pytest.mark.parametrize(
    "changes", [{"dense": True}, {"negatives": {"queue": 8}}, {"loss": "siglip"}, {"general": "ecg"}]
)
def test_what_it_does_not_take_is_refused(changes: dict[str, Any]) -> None:
    inputs = {"image": {"modality": "image"}, "text": {"modality": "report"}}
    with pytest.raises(UsageError, match=r"objectives\.pair"):
        check(read({"inputs": inputs, "objectives": {"pair": {**PAIR, **changes}}}))
