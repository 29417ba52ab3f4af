"""A few synthetic images in the place of an archive: the mathematics, their quality, and what they give away."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

import medcl
from medcl.archive.manifest import Manifest, Target
from medcl.errors import MedclError, UsageError
from medcl.reduce.condense import accuracy, condense, distance, mismatch, network
from medcl.reduce.config import CondenseConfig
from medcl.reduce.membership import membership
from tests.data.image_archive import write_archive

SIDE, KINDS = 16, 4


def gradients(classes: int, seed: int) -> list[list[Tensor]]:
    """Of each class, of two layers with biases, float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((3, 2, 3, 3), (3,), (classes, 5), (classes,))
    return [[torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes] for _ in range(classes)]


def slow_distance(one: list[Tensor], other: list[Tensor]) -> float:
    total = 0.0
    for a, b in zip(one, other, strict=True):
        if a.ndim == 1:
            continue
        for x, y in zip(a.reshape(len(a), -1).tolist(), b.reshape(len(b), -1).tolist(), strict=True):
            dot = sum(p * q for p, q in zip(x, y, strict=True))
            total += 1 - dot / (sum(p * p for p in x) ** 0.5 * sum(q * q for q in y) ** 0.5 + 1e-6)
    return total


def test_the_distance_of_gradients_is_a_sum_over_layers_and_rows() -> None:
    one, other = gradients(4, 0), gradients(4, 1)
    assert distance(one[0], other[0]).item() == pytest.approx(slow_distance(one[0], other[0]), abs=1e-9)
    by_class = sum(slow_distance(a, b) for a, b in zip(one, other, strict=True))
    assert mismatch(one, other, contrastive=False).item() == pytest.approx(by_class, abs=1e-9)
    summed = [[sum(part[layer] for part in each) for layer in range(4)] for each in (one, other)]
    assert mismatch(one, other, contrastive=True).item() == pytest.approx(slow_distance(*summed), abs=1e-9)


def test_identical_sets_are_no_distance_apart() -> None:
    own = gradients(4, 0)
    for contrastive in (False, True):
        assert mismatch(own, own, contrastive=contrastive).item() == pytest.approx(0, abs=1e-4)


def test_what_all_classes_have_in_common_counts_in_dc_alone() -> None:
    """Of softmax outputs the gradients of one class and of all others cancel in the sum: what is common goes away."""
    one, other = gradients(4, 0), gradients(4, 1)
    common = [1e3 * part for part in gradients(4, 2)[0]]

    def shifted(own: list[list[Tensor]]) -> list[list[Tensor]]:
        signs = (1.0, -1.0, 1.0, -1.0)
        pairs = [zip(each, common, strict=True) for each in own]
        return [[part + sign * extra for part, extra in pair] for pair, sign in zip(pairs, signs, strict=True)]

    assert mismatch(shifted(one), shifted(other), contrastive=False) < 1e-2 * mismatch(one, other, contrastive=False)
    before = mismatch(one, other, contrastive=True).item()
    assert mismatch(shifted(one), shifted(other), contrastive=True).item() == pytest.approx(before, rel=1e-6)


def test_copies_are_found_and_unrelated_images_are_not() -> None:
    rng = np.random.default_rng(0)
    used, others, made = (rng.standard_normal((n, 64)).astype(np.float32) for n in (400, 300, 8))
    patients = np.repeat(np.arange(200), 2), np.repeat(np.arange(150), 2)
    unrelated = membership(made, used, patients[0], others, patients[1])
    assert unrelated.copies == 0
    assert 0.4 < unrelated.auroc < 0.6
    assert unrelated.p > 0.01
    noised = used[:8] + 0.1 * made
    copied = membership(noised, used, patients[0], others, patients[1])
    assert copied.copies == 8
    assert max(copied.ratios) < 0.3 < copied.limit
    # Means of four who were used are no copies, but those who were used lie nearer to them.
    of_many = np.stack([part.mean(axis=0) for part in np.split(used, 100)])
    traced = membership(of_many, used, patients[0], others, patients[1])
    assert min(traced.ratios) > 0.5
    assert traced.auroc > 0.8
    assert traced.p < 1e-6


def test_a_data_set_of_its_own_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = {f"i{n:02d}": (60 + 100 * (n % 2) + rng.integers(0, 50, (40, 40))).astype(np.uint8) for n in range(24)}
    manifest = write_archive(tmp_path / "archive", images)
    columns = {"finding": ["dark", "light"] * 12, "split": ["train"] * 16 + ["test"] * 8}
    for name, values in columns.items():
        manifest = manifest.with_column(name, pa.array(values))
    manifest = manifest.with_targets({"finding": Target("finding", "binary", ("dark", "light"))})
    settings = {
        "target": "finding",
        "steps": 3,
        "width": 4,
        "size": (16, 16),
        "networks": 2,
        "store": tmp_path / "store",
        "jobs": 1,
    }
    found = medcl.condense(manifest, tmp_path / "few", per_class=2, **settings).value
    assert found.used == 16
    assert len(found.membership.ratios) == 4
    with (tmp_path / "few" / "labels.csv").open() as file:
        labels = {row["record"]: row["class"] for row in csv.DictReader(file)}
    assert list(labels.values()) == ["dark", "dark", "light", "light"]
    assert json.loads((tmp_path / "few" / "condensed.json").read_text())["synthetic"] == found.synthetic
    words = {"labels": str(tmp_path / "few" / "labels.csv"), "record_column": "record", "target_columns": ("class",)}
    medcl.scan(tmp_path / "few", tmp_path / "few.parquet", patient_per_record=True, jobs=1, **words)
    again = Manifest.read(tmp_path / "few.parquet")
    assert sorted(again.labels("class").tolist()) == [0, 0, 1, 1]
    assert list(again.column("shape")[0]) == [16, 16]

    with pytest.raises(UsageError, match="is not empty"):
        medcl.condense(manifest, tmp_path / "few", **settings)
    with pytest.raises(UsageError, match="warmup is a share"):
        medcl.condense(manifest, tmp_path / "other", warmup=2.0, **settings)
    with pytest.raises(UsageError, match="no target 'findin'"):
        medcl.condense(manifest, tmp_path / "other", **{**settings, "target": "findin"})
    everyone = manifest.with_column("split", pa.array(["train"] * 24))
    with pytest.raises(UsageError, match="needs two labelled patients outside the split"):
        medcl.condense(everyone, tmp_path / "other", **settings)
    with pytest.raises(MedclError):
        medcl.condense(tmp_path / "none.parquet", tmp_path / "other", **settings)


def fine_grained(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(N, 1, 16, 16) of a background that all share, with own variation; of the class only a patch of 4 x 4 pixels."""
    shared = torch.Generator().manual_seed(99)
    background = torch.randn(1, 1, 4, 4, generator=shared)
    marks = torch.sign(torch.randn(KINDS, 4, 4, generator=shared))
    generator = torch.Generator().manual_seed(seed)
    coarse = 5.0 * background + 0.5 * torch.randn(count, 1, 4, 4, generator=generator)
    x = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    x = x + 0.3 * torch.randn(x.shape, generator=generator)
    labels = torch.arange(count) % KINDS
    x[:, 0, 6:10, 6:10] += 0.7 * marks[labels]
    return x, labels


@pytest.mark.acceptance
def test_contrastive_signals_condense_fine_differences() -> None:
    """Lee et al.: where classes differ little, DCC is better than DC, and DC than real images at random."""
    found: dict[str, list[float]] = {"random": [], "dc": [], "dcc": []}
    means = []
    for seed in range(3):
        x, y = fine_grained(1000, seed)
        test, truth = fine_grained(1000, 1000 + seed)
        mean, std = x.mean(), x.std()
        x, test = (x - mean) / std, (test - mean) / std
        config = CondenseConfig(steps=300, width=16, size=(SIDE, SIDE), seed=seed)
        ones, twice = torch.arange(KINDS), replace(config, networks=2)
        few = [accuracy(x[4 * n : 4 * n + 4], ones, test, truth, KINDS, twice) for n in range(3)]
        found["random"].append(float(np.mean(few)))
        of_class = torch.stack([x[y == number].mean(dim=0) for number in range(KINDS)])
        means.append(accuracy(of_class, ones, test, truth, KINDS, twice))
        for name, warmup in (("dc", 1.0), ("dcc", 0.25)):
            made = condense(x, y, KINDS, replace(config, warmup=warmup))[:, 0]
            found[name].append(accuracy(made, ones, test, truth, KINDS, config))
    # Where the place of what differs is known, as here, the mean of all images of a class is better than any of them.
    print(found, "class means", means)
    random, dc, dcc = (float(np.mean(found[name])) for name in found)
    assert dcc > dc > random + 0.1, found


def test_images_that_begin_as_real_ones_are_found_out_while_they_are() -> None:
    x, y = fine_grained(400, 0)
    others, _ = fine_grained(400, 1)
    config = CondenseConfig(steps=1, width=4, size=(SIDE, SIDE), batch=8)
    made = condense(x, y, KINDS, config)[:, 0]
    again = condense(x, y, KINDS, config)[:, 0]
    torch.testing.assert_close(made, again, rtol=0, atol=0)
    flat = [one.flatten(1).numpy() for one in (made, x, others)]
    numbers = np.arange(400)
    assert membership(flat[0], flat[1], numbers, flat[2], numbers).copies == KINDS
    begun = condense(x, y, KINDS, replace(config, begin="noise"))[:, 0].flatten(1).numpy()
    assert membership(begun, flat[1], numbers, flat[2], numbers).copies == 0


def test_networks_take_images_of_any_size() -> None:
    assert network(3, 5, (20, 37), 4)(torch.zeros(2, 3, 20, 37)).shape == (2, 5)
