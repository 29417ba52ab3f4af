"""Segmentation that learns from volumes without labels: its parts by hand, and what it is worth on toy shapes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.evaluate.config import EvaluateConfig, SegmentConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.segment_train import PaddedUNet, loss_of, one_hot
from medcl.evaluate.semi_supervised import Dssn, cut_mix, selected, semi_supervised
from medcl.evaluate.space_engage import agreed, of_prototypes, pixel_contrast
from medcl.modality.spatial.encoders.unet import UNet
from tests.evaluate.segment_archive import write_heads, write_run

N_CLASSES, STEPS = 3, 80


def test_the_most_confident_pixels_of_each_class_of_each_image_are_kept() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 2], [0, 0, 0, 0, 1]])
    confidence = torch.tensor([[0.99, 0.96, 0.60, 0.55, 0.93], [0.95, 0.92, 0.91, 0.80, 0.5]])
    kept = selected(confidence, labels, N_CLASSES)
    expected = torch.zeros(2, 5, dtype=torch.bool)
    for image in range(2):
        for c in range(N_CLASSES):
            own = [p for p in range(5) if labels[image, p] == c]
            if own:
                highest = max(confidence[image, p] for p in own)
                for p in own:
                    expected[image, p] = confidence[image, p] >= (0.96 * highest if highest > 0.92 else highest)
    assert torch.equal(kept, expected)
    assert kept.tolist() == [[True, True, True, False, True], [True, True, False, False, True]]


def test_a_box_is_of_another_image() -> None:
    network = PaddedUNet(UNet(1, N_CLASSES, widths=(2, 2)))
    ways = Dssn(network, N_CLASSES, seed=0)
    x = torch.arange(4.0)[:, None, None, None].expand(4, 1, 8, 6)
    inside, other = box = ways.box(x)
    mixed = cut_mix(x, box)
    assert inside.sum() == 4 * 3
    assert torch.equal(mixed[:, 0, ~inside], x[:, 0, ~inside])
    assert torch.equal(mixed[:, 0, inside], x[other][:, 0, inside])


def test_pixels_that_both_spaces_agree_on_are_right_more_often_than_the_classifier_is() -> None:
    """A fifth of the classifier's labels is wrong, always towards the same neighbouring class."""
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = torch.from_numpy(rng.integers(0, 4, 2000))
        centres = F.normalize(torch.from_numpy(rng.normal(size=(4, 16))).float(), dim=1)
        z = centres[truth] + 0.15 * torch.from_numpy(rng.normal(size=(2000, 16))).float()
        wrong = torch.from_numpy(rng.random(2000) < 0.2)
        said = F.one_hot(torch.where(wrong, (truth + 1) % 4, truth), 4).float()
        # Prototypes are of what the classifier says, wrong labels among them.
        prototypes = torch.stack([F.normalize(z[said.argmax(dim=1) == c], dim=1).mean(dim=0) for c in range(4)])
        both = agreed(said, of_prototypes(z, prototypes))
        right = said.argmax(dim=1) == truth
        assert both.float().mean() > 0.5
        gains.append(float(right[both].float().mean() - right.float().mean()))
    assert min(gains) >= 0.05


def test_the_contrast_of_pixels_pulls_towards_the_own_prototype() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    prototypes = torch.eye(3, 8)
    z = torch.randn(60, 8, generator=generator).requires_grad_()
    loss = pixel_contrast(z, labels, z.detach(), prototypes, generator)
    loss.backward()
    assert z.grad is not None
    moved = z.detach() - 0.5 * z.grad
    before, after = (F.cosine_similarity(one, prototypes[labels]) for one in (z.detach(), moved))
    assert float((after - before).mean()) > 0
    # Where all pixels are learned, or there is one class alone, there is nothing to do.
    assert pixel_contrast(10 * prototypes[labels], labels, prototypes[labels], prototypes, generator) == 0
    assert pixel_contrast(z, labels * 0, z.detach(), prototypes[:1], generator) == 0


@pytest.mark.parametrize("way", ["dssn", "css"])
def test_an_experiment_learns_from_the_volumes_without_labels(way: Any, tmp_path: Path) -> None:
    manifest = write_heads(tmp_path)
    run = write_run(tmp_path / "run", manifest)
    segment = SegmentConfig(iterations=3, batch=4, evaluate_every=3, validation_volumes=1)
    config = EvaluateConfig("mask", labels=["1"], repeats=1, bootstrap=4, segment=segment, jobs=1, save_models="none")
    found = [
        finetune([run], manifest, replace(config, segment=one), tmp_path / "store", tmp_path / name)
        for name, one in (("without", segment), ("with", replace(segment, semi_supervised=way)))
    ]
    without, with_it = ([score.metrics["dice"] for score in one.scores] for one in found)
    assert np.isfinite(with_it).all()
    assert with_it != without


def shapes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (count, 1, 32, 32) of noisy discs (1) and small squares (2, about 3% of the pixels), and their labels."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    images, labels = np.zeros((count, 1, 32, 32), np.float32), np.zeros((count, 32, 32), np.int64)
    for image, label in zip(images, labels, strict=True):
        (a, b), radius = rng.uniform(8, 24, 2), rng.uniform(5, 8)
        label[(x - a) ** 2 + (y - b) ** 2 < radius**2] = 1
        (a, b), side = rng.integers(2, 25, 2), int(rng.integers(5, 7))
        label[a : a + side, b : b + side] = 2
        level = np.array([0.2, 0.5, 0.75]) + rng.normal(0, 0.12, 3)
        gain, offset = rng.uniform(0.6, 1.4), rng.uniform(-0.2, 0.2)
        image[0] = gain * level[label] + offset + rng.normal(0, 0.15, (32, 32))
    return torch.from_numpy(images), torch.from_numpy(labels)


def rare_overlap(way: str, seed: int) -> float:
    """The intersection over union of the rare class on new images."""
    torch.manual_seed(seed)
    x, y = shapes(8, seed)
    unlabelled, _ = shapes(200, 100 + seed)
    new, truth = shapes(100, 200 + seed)
    network = PaddedUNet(UNet(1, N_CLASSES, widths=(8, 16, 32)))
    extra = None if way == "supervised" else semi_supervised(way, network, N_CLASSES, seed)
    parameters = [*network.parameters(), *(extra.parameters() if extra else ())]
    optimiser, criterion = torch.optim.Adam(parameters, 2e-3), loss_of("dice-ce")
    rng = np.random.default_rng(seed)
    for step in range(STEPS):
        network.train()
        maps = network.decode(network.encode(x))
        target = one_hot(y, N_CLASSES)
        loss = criterion(network.classify(maps, (32, 32)), target)
        if extra is not None:
            batch = unlabelled[torch.from_numpy(rng.choice(200, 8, replace=False))]
            loss = loss + extra.loss(network, maps, target, batch, step / STEPS)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if extra is not None:
            extra.follow(network)
    network.eval()
    with torch.no_grad():
        found = network(new).argmax(dim=1)
    both, either = ((found == 2) & (truth == 2)).sum(), ((found == 2) | (truth == 2)).sum()
    return float(both / either)


@pytest.mark.acceptance
def test_a_rare_class_gains_from_images_without_labels() -> None:
    found = {way: np.array([rare_overlap(way, seed) for seed in range(3)]) for way in ("supervised", "dssn")}
    assert (found["dssn"] - found["supervised"]).mean() > 0.02
