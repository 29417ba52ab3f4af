"""Batches on their device, in order; copies beside the computation need a GPU."""

from collections.abc import Iterator

import pytest
import torch

from medcl.data.ahead import ahead, one_ahead
from medcl.modality.sampling import Batch

BATCHES: list[Batch] = [
    {"index": torch.tensor([one]), "ids": {"patient": torch.tensor([10 * one])}, "x": torch.full((1, 4), float(one))}
    for one in range(5)
]


def test_every_item_comes_in_order_once_the_next_one_is_made() -> None:
    made: list[int] = []

    def items(count: int) -> Iterator[int]:
        for one in range(count):
            made.append(one)
            yield one

    assert [(one, made[-1]) for one in one_ahead(items(4))] == [(0, 1), (1, 2), (2, 3), (3, 3)]
    assert list(one_ahead(items(1))) == [0]
    assert list(one_ahead(items(0))) == []


def test_on_a_cpu_a_batch_is_read_when_it_is_asked_for_and_stays_as_it_is() -> None:
    asked = []

    def read() -> Iterator[Batch]:
        for one in BATCHES:
            asked.append(int(one["index"]))
            yield one

    for number, batch in enumerate(ahead(read(), torch.device("cpu"))):
        assert asked[-1] == number
        assert batch["x"] is BATCHES[number]["x"]
        assert batch["ids"]["patient"] is BATCHES[number]["ids"]["patient"]
    assert len(asked) == len(BATCHES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_what_is_computed_with_a_batch_is_what_was_read() -> None:
    large = [{**one, "x": torch.full((64, 2**16), float(one["index"])).pin_memory()} for one in BATCHES]
    sums = []
    for batch in ahead(large, torch.device("cuda")):
        assert batch["ids"]["patient"].device.type == "cuda"
        sums.append(batch["x"].sin().cos().double().sum())
    expected = [one["x"].cuda().sin().cos().double().sum() for one in large]
    assert torch.stack(sums).tolist() == torch.stack(expected).tolist()
