"""SimLAP: the filter of a pair of classes keeps the features that carry what both have in common."""

from itertools import product
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read

from .steps import BITS, Trained, batch_of, bits

CLASSES = torch.tensor(list(product((-1.0, 1.0), repeat=BITS)))
"""(8, 3): each class is three attributes of two values."""
OWN: dict[str, Any] = {
    "kind": "simlap",
    "of": "image",
    "target": "finding",
    "classes": 8,
    "head": {"hidden": 32, "dim": 12},
}


def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.randint(8, (count,), generator=generator)
    return CLASSES[labels] + 0.3 * torch.randn(count, BITS, generator=generator), labels


def batch(count: int, generator: torch.Generator) -> dict[str, Any]:
    x, labels = sample(count, generator)
    found = batch_of({"image": x})
    found["ids"]["label:finding"] = labels
    return found


def test_the_loss_equals_the_loops_and_unknown_classes_are_left_out() -> None:
    trained = Trained({"own": OWN}, bits("image"))
    own: Any = trained.objectives["own"]
    given = batch(7, torch.Generator().manual_seed(3))
    given["ids"]["label:finding"] = torch.tensor([0, 1, 0, -5, 2, 1, 0])
    found = trained(given, torch.Generator().manual_seed(4))["own"]
    y = given["ids"]["label:finding"]
    drawn = y[torch.randperm(7, generator=torch.Generator().manual_seed(4))]
    z = F.normalize(own.head(trained.encoders["image"](given["inputs"]["image"])[:, 0]), dim=1)
    rows = [(z[i], int(y[i]), int(drawn[i] if drawn[i] >= 0 else y[i])) for _ in range(2) for i in range(7)]
    rows = [row for row in rows if row[1] >= 0]
    terms = []
    for i, (one, label, partner) in enumerate(rows):
        gate = own.gates(torch.tensor([label]), torch.tensor([partner]))[0]
        e = [((gate**2 * one * other).sum() / 0.1).exp() for other, _, _ in rows]
        others = range(len(rows))
        below = sum(e[j] for j in others if rows[j][1] not in (label, partner))
        own_terms = [-(e[j] / (e[j] + below)).log() for j in others if rows[j][1] == partner and j != i]
        if own_terms:
            terms.append(sum(own_terms) / len(own_terms))
    torch.testing.assert_close(found, sum(terms) / len(terms), rtol=1e-4, atol=1e-5)


def probed(seed: int) -> tuple[float, float]:
    """How well a shared attribute is read from the filtered features of a pair of classes, and a differing one."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    trained = Trained({"own": OWN}, bits("image"))
    own: Any = trained.objectives["own"]
    optimiser = torch.optim.Adam(trained.parameters(), 5e-3)
    for _ in range(300):
        loss = trained(batch(64, generator), generator)["own"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, labels = sample(600, generator)
    with torch.no_grad():
        z = F.normalize(own.head(trained.encoders["image"](x)[:, 0]), dim=1)
    alike, unlike = [], []
    for one, other in [(0, 1), (0, 2), (0, 4), (7, 6), (7, 5), (7, 3)]:
        with torch.no_grad():
            gate = own.gates(torch.tensor([one]), torch.tensor([other]))[0]
        filtered = (z * gate.square()).numpy()
        for attribute in range(BITS):
            y = (CLASSES[labels, attribute] > 0).numpy()
            score = LogisticRegression(C=0.1, max_iter=500).fit(filtered[:300], y[:300]).score(filtered[300:], y[300:])
            (alike if CLASSES[one, attribute] == CLASSES[other, attribute] else unlike).append(score)
    return sum(alike) / len(alike), sum(unlike) / len(unlike)


@pytest.mark.acceptance
def test_filtered_features_carry_what_two_classes_share_and_less_of_what_they_do_not() -> None:
    """The filter favours what is shared; it does not remove the rest."""
    shared, differing = torch.tensor([probed(seed) for seed in range(3)]).T
    print(f"shared attribute {shared.tolist()}, differing attribute {differing.tolist()}")
    assert (shared >= 0.8).all()
    assert (shared - differing >= 0.05).all()


@pytest.mark.parametrize(
    ("changes", "words"), [({"target": ""}, "names the column"), ({"classes": 1}, "two classes or more")]
)
def test_settings_without_meaning_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check(read({"inputs": {"image": {}}, "objectives": {"own": {**OWN, **changes}}}))


def test_more_classes_than_were_stated_are_refused_with_the_setting() -> None:
    given = batch(4, torch.Generator().manual_seed(0))
    given["ids"]["label:finding"] = torch.tensor([0, 1, 2, 8])
    with pytest.raises(UsageError, match="has more than 8; raise the setting"):
        Trained({"own": OWN}, bits("image"))(given)
