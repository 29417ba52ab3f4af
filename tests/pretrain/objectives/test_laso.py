"""LaSO: networks that make embeddings of the union, the intersection and the difference of two sets of findings."""

from typing import Any

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.objectives.laso import OPERATIONS
from medcl.pretrain.reading import read

from .steps import Flat, Trained, batch_of

LABELS, WIDTH = 6, 32
NAMES = tuple(f"f{one}" for one in range(LABELS))
LASO = {"kind": "laso", "of": "image", "target": "findings", "findings": NAMES, "hidden": 64}


def batch_with(x: Tensor, labels: Tensor) -> dict[str, Any]:
    batch = batch_of({"image": x})
    batch["ids"] |= {f"label:findings={name}": labels[:, place] for place, name in enumerate(NAMES)}
    return batch


def drawn(vectors: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noisy sums of the vectors of findings, each of which is there in a third of the samples."""
    labels = (torch.rand(count, LABELS, generator=generator) < 1 / 3).long()
    return labels.float() @ vectors + 0.2 * torch.randn(count, vectors.shape[1], generator=generator), labels


def test_sets_of_labels_are_joined_as_their_names_say() -> None:
    a, b = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    found = {name: operation(a, b).tolist() for name, (_, operation) in OPERATIONS.items()}
    assert found == {"union": [1, 1, 1, 0], "intersection": [1, 0, 0, 0], "difference": [0, 1, 0, 0]}


def test_samples_that_are_not_labelled_do_not_count() -> None:
    torch.manual_seed(0)
    trained = Trained({"sets": LASO}, {"image": Flat(WIDTH)})
    labels = torch.randint(0, 2, (6, LABELS))
    x = torch.randn(6, WIDTH)
    trained.eval()
    found = trained(batch_with(x[[0, 1, 2, 3]], labels[[0, 1, 2, 3]]))
    labels[4:, 2] = -1
    torch.testing.assert_close(trained(batch_with(x, labels)), found)
    labels[:] = -1
    with pytest.warns(UserWarning, match="no anchor of this batch"):
        nothing = trained(batch_with(x, labels))
    assert all(float(one.detach()) == 0 for one in nothing.values())


@pytest.mark.acceptance
def test_what_is_made_has_the_findings_of_the_operation() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    vectors = torch.randn(LABELS, WIDTH, generator=generator)
    trained = Trained({"sets": LASO}, {"image": Flat(WIDTH)})
    optimiser = torch.optim.Adam(trained.parameters(), lr=3e-3)
    for _ in range(150):
        losses = trained(batch_with(*drawn(vectors, 32, generator)))
        optimiser.zero_grad()
        (losses["sets.findings"] + losses["sets.consistency"]).backward()
        optimiser.step()
    trained.eval()
    own: Any = trained.objectives["sets"]
    (a, of_a), (b, of_b) = drawn(vectors, 400, generator), drawn(vectors, 400, generator)
    with torch.no_grad():
        for name, (_, of_sets) in OPERATIONS.items():
            expected = of_sets(of_a.float(), of_b.float())
            told = own.classifier(own.operations[name](a, b)).sigmoid()
            assert average_precision_score(expected.long(), told, average="macro") >= 0.9, name


def test_findings_are_named() -> None:
    with pytest.raises(UsageError, match="objectives.sets: target names a column"):
        check(read({"inputs": {"image": {}}, "objectives": {"sets": {"kind": "laso", "of": "image"}}}))
