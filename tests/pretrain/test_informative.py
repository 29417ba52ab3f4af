"""Informative sampling: whom the current encoder confuses is trained on, whatever the process, and after a stop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.modality.sampling import Batch
from medcl.pretrain.informative import informative, scores
from medcl.pretrain.model import Model
from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read
from medcl.pretrain.run import pretrain

from .multimodal_recipe import mapping
from .recipe import small

PATIENTS, WINDOWS = 24, 3
KEPT, POOL = 4, 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "ecg.store"


def waves() -> dict[str, Any]:
    """Of every other patient weak ones, whose two views are mostly the noise that views add."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), WINDOWS)
    strength = np.where(patient % 2, 0.02, 2.0)[:, None, None]
    phase = rng.uniform(0, 6, (len(patient), 3, 1))
    x = strength * np.sin(2 * np.pi * (3 + patient[:, None, None] % 5) * np.arange(200) / 100 + phase)
    return {"x": x, "ids": {"patient": patient, "trial": patient}, "sampling_rate": 100, "channels": ["Fz", "Cz", "Pz"]}


def planned(tmp_path: Path) -> Plan:
    batch = {"patients": KEPT, "samples": 2, "records": 1, "pool": POOL}
    recipe = small(batch=batch, inputs={"signal": {"views": {"jitter": 0.3, "mask": "none"}}})
    return Plan.of(recipe, {"signal": waves()}, tmp_path)


def chosen_in(model: Model, batch: Batch, step: int = 0) -> Batch:
    return informative(model, batch, torch.Generator().manual_seed(step), KEPT)


def test_the_most_confused_patients_of_a_batch_stay_with_all_of_their_samples(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    model = plan.model(plan.recipe.trained[0], None)
    batch: Batch = next(iter(plan.source.batches(1, 0, 0, 1, 0, 0, 1)))
    assert len(set(batch["ids"]["patient"].tolist())) == KEPT * POOL
    each = scores(model, batch, torch.Generator().manual_seed(0)).tolist()
    by_patient: dict[int, list[float]] = {}
    for code, score in zip(batch["ids"]["patient"].tolist(), each, strict=True):
        by_patient.setdefault(code, []).append(score)
    worst = sorted(by_patient, key=lambda code: -sum(by_patient[code]) / len(by_patient[code]))[:KEPT]

    part = chosen_in(model, batch)

    assert model.training
    assert set(part["ids"]["patient"].tolist()) == set(worst)
    rows = [row for row, code in enumerate(batch["ids"]["patient"].tolist()) if code in worst]
    torch.testing.assert_close(part["x"], batch["x"][rows], rtol=0, atol=0)
    assert part["index"].tolist() == batch["index"][rows].tolist()


def test_whom_it_draws(tmp_path: Path) -> None:
    """Weak signals are half of the archive and nearly all of what is trained on; other weights choose others."""
    plan = planned(tmp_path)
    first, other = plan.model(plan.recipe.trained[0], None), plan.model(plan.recipe.trained[0], None)
    drawn, trained, differ = [], [], 0
    for step, batch in enumerate(plan.source.batches(1, 0, 0, 12, 0, 0, 1)):
        part = chosen_in(first, batch, step)["ids"]["patient"]
        drawn += (batch["ids"]["patient"] % 2).tolist()
        trained += (part % 2).tolist()
        differ += set(part.tolist()) != set(chosen_in(other, batch, step)["ids"]["patient"].tolist())
    print(f"weak: {np.mean(drawn):.2f} of those drawn, {np.mean(trained):.2f} of those trained on")
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.1)
    assert np.mean(trained) > 0.9
    assert differ >= 6


def same_weights(a: Path, b: Path) -> bool:
    one, other = (load_file(folder / runs.WEIGHTS) for folder in (a, b))
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_stopped_run_goes_on_to_the_bit(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    config = small(steps=6, batch={"patients": 2, "pool": 2})
    pretrain(config, ecg_manifest, store, tmp_path / "whole")
    pretrain(config, ecg_manifest, store, tmp_path / "halves", until=3)
    pretrain(config, ecg_manifest, store, tmp_path / "halves", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "halves")
    pretrain(small(steps=6, batch={"patients": 2}), ecg_manifest, store, tmp_path / "all")
    assert not same_weights(tmp_path / "whole", tmp_path / "all"), "other patients were trained on"


def test_a_pool_is_of_one_input_and_at_least_1(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pool must be at least 1"):
        pretrain(small(batch={"pool": 0}), ecg_manifest, store, tmp_path / "run")
    several = read(mapping(batch={"pool": 2}))
    with pytest.raises(UsageError, match=r"batch\.pool: chooses patients by two views of one input"):
        pretrain(several, ecg_manifest, store, tmp_path / "run")
    one_view = {"views": {"kind": "autotcl", "of": "signal"}}
    with pytest.raises(UsageError, match=r"batch\.pool: chooses patients by two views, which no objective"):
        pretrain(small(batch={"pool": 2}, objectives=one_view), ecg_manifest, store, tmp_path / "run")
