"""What methods for classes in turn, or of very different frequency, are for: trained until they show it, or do not."""

from typing import Any

import numpy as np
import pytest
import torch

from .stream import CLASSES, Task, accuracy, draw, model_of, remember, stream, train

SEEDS = 3


@pytest.mark.acceptance
def test_prd_keeps_old_classes_without_their_samples() -> None:
    found: dict[float, list[float]] = {4.0: [], 0.0: []}
    for weight, told in found.items():
        for seed in range(SEEDS):
            snapshots: list[torch.Tensor] = []

            def after(model: Any, snapshots: list[torch.Tensor] = snapshots) -> None:
                snapshots.append(model.objectives["kinds"].prototypes.detach().clone())
                remember(model)

            model, test = stream({"kind": "prd", "distillation": weight}, seed, after)
            told.append(accuracy(model, snapshots[-1], test))
            # Those of the first two classes, whose samples are gone, follow what the encoder has become.
            moved = (snapshots[-1] - snapshots[0])[:2].norm(dim=1)
            assert (moved > 0.1).all() if weight else (moved == 0).all()
    assert np.mean(found[4.0]) >= np.mean(found[0.0]) + 0.15, found


@pytest.mark.acceptance
def test_proxies_keep_old_classes_by_three_samples_of_each() -> None:
    kept, lost = (
        [
            accuracy(model, model.objectives["kinds"].proxies.detach(), test)
            for seed in range(SEEDS)
            for model, test in [stream({"kind": "proxies"}, seed, memory=memory)]
        ]
        for memory in (3, 0)
    )
    assert np.mean(kept) >= np.mean(lost) + 0.3, (kept, lost)
    assert np.mean(kept) >= 0.85


@pytest.mark.acceptance
def test_gml_finds_rare_classes() -> None:
    """Half of the classes are a hundredth as frequent as the others; all are as frequent in the test."""
    found: dict[str, list[float]] = {}
    for name, objective in (("gml", {"kind": "gml", "keys": 16}), ("plain", {"kind": f"{CROSS}"})):
        found[name] = []
        for seed in range(SEEDS):
            generator = torch.Generator().manual_seed(seed)
            means = torch.randn(CLASSES, 32, generator=generator)
            often = draw(means, range(CLASSES // 2), 200, 2.0, generator)
            rare = draw(means, range(CLASSES // 2, CLASSES), 2, 2.0, generator)
            test = draw(means, range(CLASSES // 2, CLASSES), 100, 2.0, generator)
            model = model_of(objective, seed)
            task = Task(torch.cat([often.x, rare.x]), torch.cat([often.y, rare.y]))
            train(model, task, 200, generator, batch=64)
            own: Any = model.objectives["kinds"]
            z = model.encoders["image"](test.x)[:, 0].detach()
            if name == "gml":
                logits = (
                    torch.nn.functional.normalize(z, dim=1) @ torch.nn.functional.normalize(own.classifier, dim=1).T
                )
            else:
                logits = own.classifier(z)
            found[name].append(float((logits.argmax(1) == test.y).double().mean()))
    assert np.mean(found["gml"]) >= np.mean(found["plain"]) + 0.1, found


CROSS = "tests.pretrain.objectives.stream:CrossEntropy"
