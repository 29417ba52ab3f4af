"""Haiku's three pairs: each modality finds the others, two find the third better, and an edit moves what it drives."""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.embed.query import direction
from medcl.stats.shift import shift

from .steps import Bits, Trained, batch_of

KINDS = ("image", "volume", "signal")
HEAD = {"hidden": 0, "dim": 32}
WIDTH = 40


def every_pair() -> dict[str, dict[str, object]]:
    """As the recipe has them: the heads are those of the first pair."""
    pairs = [("image", "volume"), ("image", "signal"), ("volume", "signal")]
    one = {"exclude": ["patient"], "temperature": 0.07, "weight": 1 / 3}
    heads = [HEAD, "image-volume", "image-volume"]
    return {f"{a}-{b}": {"between": [a, b], "head": head, **one} for (a, b), head in zip(pairs, heads, strict=True)}


def trained(draw: object, seed: int, steps: int = 200) -> Trained:
    torch.manual_seed(seed)
    model = Trained(every_pair(), {kind: Bits(WIDTH) for kind in KINDS})
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        losses = model(batch_of(draw(64)))  # type: ignore[operator]
        optimiser.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).mean())
        optimiser.step()
    return model.eval()


@torch.no_grad()
def embedded(model: Trained, x: dict[str, Tensor]) -> dict[str, np.ndarray]:
    head = model.objectives["image-volume"].head
    return {
        kind: F.normalize(head(kind)(model.encoders[kind](one)[:, 0]), dim=1).numpy()  # type: ignore[operator]
        for kind, one in x.items()
    }


@cache
def views(seed: int) -> Trained:
    return trained(lambda n: noisy(n, seed, 0.35), seed)


def noisy(n: int, world: int, noise: float) -> dict[str, Tensor]:
    """Three noisy linear views of a latent vector of 16 numbers."""
    mixing = torch.randn(3, 16, WIDTH, generator=torch.Generator().manual_seed(world)) / 4
    latent = torch.randn(n, 16)
    return {kind: latent @ one + noise * torch.randn(n, WIDTH) for kind, one in zip(KINDS, mixing, strict=True)}


def first(query: np.ndarray, gallery: np.ndarray) -> float:
    return float(((query @ gallery.T).argmax(axis=1) == np.arange(len(query))).mean())


@pytest.mark.acceptance
def test_every_modality_finds_every_other_and_two_find_the_third_better() -> None:
    found, fused, single = [], [], []
    for seed in range(2):
        z = embedded(views(seed), noisy(100, seed, 0.35))
        recalls = {(a, b): first(z[a], z[b]) for a, b in permutations(KINDS, 2)}
        found.append(min(recalls.values()))
        hard = embedded(views(seed), noisy(400, seed, 0.9))
        pairs = zip(hard["image"], hard["volume"], strict=True)
        both = np.stack([direction([a[None], b[None]], weights=(0.8, 0.2)) for a, b in pairs])
        fused.append(first(both, hard["signal"]))
        single.append(max(first(hard[kind], hard["signal"]) for kind in ("image", "volume")))
    print("lowest recall@1 of six:", found, "two together:", fused, "the better one:", single)
    assert min(found) >= 0.9
    assert np.mean(fused) >= np.mean(single)


def tissue(n: int) -> dict[str, Tensor]:
    """Images of 6 factors; metadata of 4 bits, the first of which drives the first of 7 markers, factors the others."""
    factors, bits = torch.randn(n, 6), torch.randint(0, 2, (n, 4)) * 2.0 - 1
    markers = torch.cat([1.5 * bits[:, :1], factors], dim=1) + 0.3 * torch.randn(n, 7)

    def padded(x: Tensor) -> Tensor:
        return F.pad(x, (0, WIDTH - x.shape[1]))

    text = torch.cat([bits, 0.5 * factors + 0.5 * torch.randn(n, 6)], dim=1)
    return {"image": padded(factors + 0.3 * torch.randn(n, 6)), "volume": padded(text), "signal": padded(markers)}


@pytest.mark.acceptance
def test_an_edit_of_the_metadata_moves_the_marker_that_it_drives_and_no_other() -> None:
    """Of each image the mean markers of the 20 nearest records of others, with its metadata and with one bit edited."""
    model = trained(tissue, 0)
    torch.manual_seed(1)
    gallery, query = tissue(600), tissue(60)
    z, own = embedded(model, gallery)["signal"], embedded(model, query)
    values = gallery["signal"][:, :7].numpy()

    def markers(bit: float) -> np.ndarray:
        text = query["volume"].clone()
        text[:, 0] = bit
        edited = embedded(model, {"volume": text})["volume"]
        rows = []
        for image, words in zip(own["image"], edited, strict=True):
            scores = z @ direction([image[None], words[None]], weights=(0.6, 0.4))
            nearest = np.argsort(-scores)[:20]
            share = np.exp(scores[nearest])
            rows.append((share[:, None] * values[nearest]).sum(axis=0) / share.sum())
        return np.stack(rows)

    found = shift(markers(-1.0), markers(1.0))
    print("differences", found.difference.round(2), "q", found.q.round(3))
    assert found.q[0] < 0.05
    assert found.difference[0] > 0.5
    assert (found.q[1:] >= 0.05).all()
