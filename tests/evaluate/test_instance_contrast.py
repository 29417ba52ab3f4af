"""INS: its loss by hand, and instances that are found by the labels of bags."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from medcl.evaluate.instance_contrast import InstanceContrast


def test_the_loss_is_the_sum_of_its_three_terms() -> None:
    torch.manual_seed(0)
    model = InstanceContrast(6, 8).double()
    z, group = torch.randn(8, 6, dtype=torch.float64), torch.arange(8) // 4
    labels = torch.tensor([0, 1])
    found = model(z, group, labels, torch.arange(8), 0.0)

    pseudo = model.confidence.double()
    probability = model.classify(z).softmax(dim=1)
    each = torch.tensor(0.0, dtype=torch.float64)
    for i in range(8):
        each = each - (pseudo[i] * probability[i, 1].log() + (1 - pseudo[i]) * probability[i, 0].log()) / 8
    q, classes = F.normalize(model.project(z), dim=1), (pseudo > 0.5).long()
    terms = []
    for i in range(8):
        partners = [j for j in range(8) if j != i and classes[j] == classes[i]]
        below = torch.stack([torch.exp(q[i] @ q[j] / 0.07) for j in range(8) if j != i]).sum()
        if partners:
            terms.append(-sum((q[i] @ q[j] / 0.07 - below.log()) for j in partners) / len(partners))
    score = torch.stack([probability[:4, 1].mean(), probability[4:, 1].mean()])
    bag = -((1 - score[0]).log() + score[1].log()) / 2
    torch.testing.assert_close(found, each + 0.5 * sum(terms) / len(terms) + bag, rtol=1e-6, atol=1e-6)


def test_pseudo_labels_move_slowly_and_instances_of_negative_bags_are_negative() -> None:
    model = InstanceContrast(4, 6)
    model.prototypes[:] = torch.eye(2, 4)
    q = F.normalize(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]), dim=1)
    of_bag, numbers = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([5, 2, 3])
    first = model.relabelled(q, torch.tensor([0, 1, 1]), of_bag, numbers, 0.0)
    torch.testing.assert_close(first, torch.tensor([0.95, 1.0, 0.0]))
    second = model.relabelled(q, torch.tensor([0, 1, 1]), of_bag, numbers, 1.0)
    torch.testing.assert_close(second, torch.tensor([0.8 * 0.95, 1.0, 0.0]))
    assert model.begun.tolist() == [False, False, True, True, False, True]


def instance_auroc(seed: int) -> float:
    """Of instances of new bags, a tenth of those of a positive bag are positive; only bags have labels."""
    rng = np.random.default_rng(seed)

    def bags(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        label = np.arange(count) % 2
        truth = (label[:, None] > 0) & (np.arange(20) < 2)
        z = rng.normal(size=(count, 20, 16)).astype(np.float32)
        z[truth, :2] += (3.0, -3.0)
        return z, label, truth

    torch.manual_seed(seed)
    z, label, _ = bags(100)
    encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
    model = InstanceContrast(16, z.shape[0] * 20)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *model.parameters()], 3e-3)
    for step in range(300):
        chosen = rng.choice(100, 16, replace=False)
        x = torch.from_numpy(z[chosen].reshape(-1, 16))
        numbers = torch.from_numpy((chosen[:, None] * 20 + np.arange(20)).ravel())
        group = torch.arange(16).repeat_interleave(20)
        loss = model(encoder(x), group, torch.from_numpy(label[chosen]), numbers, step / 300)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    new, _, truth = bags(100)
    with torch.no_grad():
        scores = model.scores(encoder(torch.from_numpy(new.reshape(-1, 16))))
    return float(roc_auc_score(truth.ravel(), scores.numpy()))


@pytest.mark.acceptance
def test_positive_instances_are_found_by_the_labels_of_bags_alone() -> None:
    found = [instance_auroc(seed) for seed in range(3)]
    assert np.mean(found) >= 0.95
