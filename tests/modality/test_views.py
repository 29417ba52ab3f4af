import pytest
import torch
from torch import Tensor

from medcl.modality.views import TimestampMask, binomial, continuous


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hidden_runs(keep: Tensor) -> list[list[int]]:
    """Lengths of the hidden stretches of each window."""
    runs = []
    for row in keep.tolist():
        text = "".join(" " if kept else "#" for kept in row)
        runs.append([len(run) for run in text.split()])
    return runs


def test_continuous_mask_hides_segments_of_the_asked_length() -> None:
    keep = continuous(torch.zeros(200, 3, 256), seeded(), segments=1, length=0.1)
    assert hidden_runs(keep) == [[25]] * 200
    first = (~keep).float().argmax(dim=1)
    assert first.min() < 10, "segments begin anywhere"
    assert first.max() > 220


def test_continuous_mask_by_default_is_that_of_comet() -> None:
    keep = TimestampMask().draw(torch.zeros(300, 3, 256), seeded())
    runs = hidden_runs(keep)
    assert max(len(lengths) for lengths in runs) == 5
    assert min(min(lengths) for lengths in runs) == 25
    assert all(sum(lengths) <= 125 for lengths in runs)
    # Five segments of a tenth that fall independently leave about 0.9 ** 5 of the steps.
    assert abs(keep.float().mean().item() - 0.9**5) < 0.05


@pytest.mark.parametrize(("steps", "most"), [(1, 1), (2, 1), (3, 1), (6, 3)])
def test_continuous_mask_of_very_short_windows(steps: int, most: int) -> None:
    hidden = (~continuous(torch.zeros(100, 3, steps), seeded())).sum(dim=1)
    assert hidden.min() >= 1
    assert hidden.max() == most


def test_a_segment_may_be_the_whole_window() -> None:
    assert not continuous(torch.zeros(4, 3, 50), seeded(), segments=1, length=1.0).any()


def test_binomial_mask_hides_each_step_with_the_probability() -> None:
    x = torch.zeros(100, 3, 256)
    keep = binomial(x, seeded(), probability=0.3)
    assert keep.shape == (100, 256)
    assert abs(keep.float().mean().item() - 0.7) < 0.02
    assert binomial(x, seeded(), probability=0.0).all()
    assert not binomial(x, seeded(), probability=1.0).any()


@pytest.mark.parametrize("kind", ["continuous", "binomial"])
def test_masks_are_decided_by_the_generator(kind: str) -> None:
    mask = TimestampMask(kind)  # type: ignore[arg-type]
    x = torch.zeros(8, 3, 256)
    assert torch.equal(mask.draw(x, seeded(3)), mask.draw(x, seeded(3)))
    assert not torch.equal(mask.draw(x, seeded(3)), mask.draw(x, seeded(4)))
