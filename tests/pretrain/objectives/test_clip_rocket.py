"""clip-rocket as its recipe has it: weak views with weak ones, all pairs of strong views, and no word left out."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.clip import clip
from medcl.contrast.pairings.pairs import itself
from medcl.errors import UsageError
from medcl.modality.report import ReportWing
from medcl.modality.report.config import TextConfig, TextViewsConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.views import Compose, Params, View, normal
from medcl.pretrain.check import check
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import draw_views
from tests.pretrain import shipped

from .steps import BITS, Trained, bits

COUNT = 6
NAMES = ("image", "report")


@dataclass(frozen=True)
class Noise(View):
    name: ClassVar[str] = "noise"

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        return {"value": normal(x, *x.shape, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        return x + params["value"]


def model() -> Trained:
    return Trained(shipped.content("clip_rocket")["objectives"], bits(*NAMES))


def step_of(trained: Trained) -> Step:
    """Weak views are the samples as they are; strong ones have noise."""
    generator, own = torch.Generator().manual_seed(0), torch.arange(COUNT)
    ids = {name: own for name in ("patient", "item", *NAMES)}
    x = {name: torch.randn(COUNT, BITS, generator=generator) for name in NAMES}
    seen = {}
    for objective in trained.objectives.values():
        for name, wanted in objective.looks:  # type: ignore[union-attr]
            views = Compose([Noise()]) if wanted.views else None
            drawn = draw_views(x[name], views, wanted, generator, None)
            seen[name, wanted.key] = Seen(drawn, wanted.blocks, trained.encoders[name], ids)
    return Step(seen, ids, {name: own >= 0 for name in NAMES}, generator, None)


def z_of(trained: Trained, step: Step, objective: str, name: str) -> Tensor:
    own: Any = trained.objectives[objective]
    seen = step.see(name, own.wanted[name])
    return F.normalize(own.head(name)(seen.pooled), dim=-1)


def both_ways(s: Tensor, smoothing: float) -> Tensor:
    """The mean of both cross-entropies against the diagonal."""
    return (cross_entropy(s.double(), smoothing) + cross_entropy(s.double().T, smoothing)) / 2


def cross_entropy(s: Tensor, smoothing: float) -> Tensor:
    """Of rows, by loops."""
    losses = []
    for i in range(len(s)):
        target = [smoothing / len(s) + (1 - smoothing) * (i == j) for j in range(len(s))]
        losses.append(sum(share * (s[i].exp().sum().log() - s[i, j]) for j, share in enumerate(target)))
    return torch.stack(losses).mean()  # type: ignore[arg-type]


def test_the_loss_is_that_of_weak_views_and_of_all_pairs_of_strong_ones() -> None:
    trained = model()
    step = step_of(trained)
    a, b = (z_of(trained, step, "weak", name) for name in NAMES)
    weak = both_ways(a @ b.T / 0.07, 0)
    a, b = (z_of(trained, step, "strong", name).reshape(2, COUNT, -1) for name in NAMES)
    assert not torch.equal(a[0], a[1])
    strong = sum(both_ways(a[i] @ b[j].T / 0.1, 0.1) for i in range(2) for j in range(2)) / 4
    for name, expected in (("weak", weak), ("strong", strong)):
        torch.testing.assert_close(trained.objectives[name](step)[""].double(), expected, rtol=1e-5, atol=0)
    weights = [trained.recipe.objectives[name].weight for name in ("weak", "strong")]
    assert weights == pytest.approx([1 / 3, 2 / 3], abs=1e-3), "1 and the number of strong views, shares of their sum"


def test_without_strong_views_it_is_clip_and_their_head_learns_nothing() -> None:
    trained = model()
    step = step_of(trained)
    a, b = (z_of(trained, step, "weak", name) for name in NAMES)
    loss = trained.objectives["weak"](step)[""] + 0 * trained.objectives["strong"](step)[""]
    torch.testing.assert_close(loss, clip(a, b, itself(a), temperature=0.07))
    loss.backward()
    heads: Any = {name: objective.heads for name, objective in trained.objectives.items()}
    assert all(not one.grad.any() for one in heads["strong"].parameters())
    assert any(one.grad.any() for one in heads["weak"].parameters())


@pytest.mark.parametrize("called", ["views", "strong"])
def test_a_finding_keeps_its_negation_in_every_view_of_its_report(called: str) -> None:
    report = shipped.content("clip_rocket")["inputs"]["report"]
    config = TextViewsConfig(**(report["views"] if called == "views" else report["more_views"][called]))
    said = "No effusion. A mild nodule on the left. The heart is not enlarged. No scar."
    tokenizer = Tokenizer.train([said] * 2, 300)
    data = TokenisedConfig.of(TextConfig(**report["data"]), tokenizer, tokenizer.fingerprint)
    views: Any = ReportWing().views(config, data, None)  # type: ignore[arg-type]
    x, found = torch.from_numpy(tokenizer([said], 64)).long(), set()
    for seed in range(100):
        text = tokenizer.decode(views(x, torch.Generator().manual_seed(seed))[0].tolist())
        found.add(text)
        parts = {one.strip() for one in text.strip(".").split(".")}
        assert parts <= {"no effusion", "a mild nodule on the left", "the heart is not enlarged", "no scar"}
    assert len(found) > 20


@pytest.mark.parametrize("changes", [{"across": 0}, {"between": [], "of": "image"}, {"negatives": {"queue": 8}}])
def test_views_of_something_else_than_two_inputs_are_refused(changes: dict[str, object]) -> None:
    content = shipped.content("clip_rocket")
    strong = {**content["objectives"]["strong"], "settings": {}, **changes}
    with pytest.raises(UsageError, match=r"strong\.across"):
        check(read({**content, "objectives": {**content["objectives"], "strong": strong}}))
