"""Learned tokens of two inputs: their loss, what they come to mean, and what is refused."""

from typing import Any

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medcl.contrast.losses.clip import clip
from medcl.contrast.pairings.pairs import itself
from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read

from .steps import Trained, batch_of

CONCEPTS, WIDTH = 6, 8
PAIR: dict[str, Any] = {
    "kind": "fdt",
    "between": ["image", "text"],
    "codes": 32,
    "head": {"hidden": 0, "dim": 16},
    "first": 10.0,
    "last": 1.0,
}


class Tokens(nn.Module):
    """An encoder of tokens (B, P, WIDTH), each by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"dim": WIDTH})()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        return found

    def pool(self, dense: Tensor) -> Tensor:
        return dense.mean(dim=1)


def trained() -> Trained:
    torch.manual_seed(0)
    return Trained({"pair": PAIR}, {name: Tokens() for name in ("image", "text")})


def planted(samples: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """Four tokens a sample, of which one at a random place is that of its concept, in the words of each input."""
    concept = torch.arange(samples) % CONCEPTS
    rows, place = torch.arange(samples), torch.randint(4, (samples,), generator=generator)
    found = {}
    for number, name in enumerate(("image", "text")):
        words = torch.randn(CONCEPTS, WIDTH, generator=torch.Generator().manual_seed(number))
        x = 0.3 * torch.randn(samples, 4, WIDTH, generator=generator)
        x[rows, place] += 2 * words[concept]
        found[name] = x
    return found, concept


def test_the_loss_is_clip_of_the_mixtures_at_a_temperature_that_falls() -> None:
    model, (x, _) = trained(), planted(5, torch.Generator().manual_seed(3))
    objective: Any = model.objectives["pair"]
    for taken in range(3):
        now = 10.0 * 0.1 ** (taken / 10)
        z = [
            F.normalize(objective.codes(name, model.encoders[name](x[name]), None, now), dim=1)
            for name in ("image", "text")
        ]
        expected = clip(*z, itself(z[0]), temperature=0.07)
        torch.testing.assert_close(model(batch_of(x))["pair"], expected)
    model.eval()
    assert objective.codes.temperature == 1.0
    z = [F.normalize(objective.codes(name, model.encoders[name](x[name])), dim=1) for name in ("image", "text")]
    torch.testing.assert_close(model(batch_of(x))["pair"], clip(*z, itself(z[0]), temperature=0.07))
    assert int(objective.taken) == 3


def test_codes_come_to_stand_for_the_concepts_that_both_inputs_share() -> None:
    model, generator = trained(), torch.Generator().manual_seed(0)
    objective: Any = model.objectives["pair"]
    objective.steps = 200
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(200):
        x, _ = planted(CONCEPTS, generator)
        optimiser.zero_grad()
        model(batch_of(x))["pair"].backward()
        optimiser.step()
    model.eval()
    x, concept = planted(120, generator)
    with torch.no_grad():
        weights = {name: objective.codes.weights(name, model.encoders[name](x[name])) for name in x}
    for own in weights.values():
        assert normalized_mutual_info_score(concept, own.argmax(dim=1)) > 0.5
        assert (own > 0).double().sum(dim=1).mean() < 16
    z = [F.normalize(own @ objective.codes.codes, dim=1) for own in weights.values()]
    found = (z[0] @ z[1].T).argmax(dim=1)
    assert (concept[found] == concept).double().mean() > 0.8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dense": True}, "fdt is between two inputs"),
        ({"negatives": {"queue": 8}}, "fdt is between two inputs"),
        ({"loss": "siglip"}, "fdt is between two inputs"),
        ({"head": {"hidden": 8}}, "is the width of a code alone"),
        ({"codes": 1}, "codes: 1 is below 2"),
        ({"last": 0.0}, "last: 0 is not above 0"),
    ],
)
def test_what_it_does_not_take_is_refused(changes: dict[str, Any], said: str) -> None:
    inputs = {"image": {"modality": "image"}, "text": {"modality": "report"}}
    with pytest.raises(UsageError, match=said):
        check(read({"inputs": inputs, "objectives": {"pair": PAIR | changes}}))


def test_an_input_that_has_no_part_is_refused() -> None:
    inputs = {"image": {"modality": "image"}, "text": {"modality": "report"}, "ecg": {"modality": "signal"}}
    with pytest.raises(UsageError, match="of fdt it names all inputs, image, text, ecg"):
        check(read({"inputs": inputs, "objectives": {"pair": PAIR, "views": {"of": "ecg"}}}))
