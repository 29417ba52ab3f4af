"""What holds for every loss of the library, whatever its formula."""

import importlib
import pkgutil
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import tests.contrast
from medcl.contrast import LOSSES
from tests.contrast.cases import Case
from tests.contrast.compare import draw, value_and_gradients
from tests.contrast.processes import across

CASES: list[Case] = [
    case
    for module in sorted(found.name for found in pkgutil.iter_modules(tests.contrast.__path__))
    if module.startswith("cases")
    for case in importlib.import_module(f"tests.contrast.{module}").CASES
]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
IDS = torch.tensor([4, 9, 4, 2**62, 9, 4, 1])
TARGETS = torch.tensor([0.0, 3.0, 0.5, 6.0, 3.2, 0.1, 4.0], dtype=torch.float64)
PARTS = {2: [4, 3], 3: [5, 0, 2]}
"""Samples of each process: batches of different size, and one that is empty."""


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    return draw(len(IDS), 4, seed=seed), draw(len(IDS), 4, seed=seed + 1)


def bound(case: Case, **scale: int) -> Callable[[Tensor, Tensor], Tensor]:
    return partial(case.loss, ids=IDS, y=TARGETS, **scale)


def assert_equal(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float = 1e-9) -> None:
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


def test_the_cases_have_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@EVERY
def test_the_loss_depends_on_both_embeddings(case: Case) -> None:
    value, *gradients = value_and_gradients(bound(case), *batch())
    assert torch.isfinite(value)
    assert value.ndim == 0
    assert all(gradient.abs().max() > 1e-6 for gradient in gradients)


@EVERY
def test_the_derivative_is_that_of_the_value(case: Case) -> None:
    leaves = [z.requires_grad_() for z in batch()]
    if case.differentiated:
        # Along random directions of all numbers at once: one by one takes thirty times as long.
        assert torch.autograd.gradcheck(bound(case), leaves, fast_mode=True)


@EVERY
def test_the_size_of_the_blocks_changes_nothing(case: Case) -> None:
    expected = value_and_gradients(bound(case), *batch())
    for block in (1, 3, 100):
        assert_equal(value_and_gradients(bound(case, block=block), *batch()), expected)


@EVERY
def test_the_order_of_the_batch_changes_nothing(case: Case) -> None:
    if not case.permuted:
        pytest.skip("by its definition")
    z1, z2 = batch()
    order = torch.tensor([3, 6, 0, 2, 5, 1, 4])
    value, *gradients = value_and_gradients(bound(case), z1, z2)
    permuted = partial(case.loss, ids=IDS[order], y=TARGETS[order])
    assert_equal(
        value_and_gradients(permuted, z1[order], z2[order]), (value, *(gradient[order] for gradient in gradients))
    )


@EVERY
def test_the_names_of_the_ids_change_nothing(case: Case) -> None:
    if not case.relabelled:
        pytest.skip("by its definition")
    renamed = torch.tensor([-7, 2**61, -7, 0, 2**61, -7, 5])
    assert_equal(
        value_and_gradients(partial(case.loss, ids=renamed, y=TARGETS), *batch()),
        value_and_gradients(bound(case), *batch()),
    )


@EVERY
@pytest.mark.parametrize("situation", ["long", "short", "identical", "orthogonal", "alone", "strangers", "one class"])
def test_extreme_batches_have_a_finite_value_and_gradient(case: Case, situation: str) -> None:
    z1, z2 = batch()
    ids, y = IDS, TARGETS
    if situation == "long":
        z1, z2 = z1 * 1e4, z2 * 1e4
    elif situation == "short":
        z1, z2 = z1 * 1e-4, z2 * 1e-4
    elif situation == "identical":
        z1, z2 = torch.ones_like(z1), torch.ones_like(z2)
    elif situation == "orthogonal":
        z1, z2 = torch.eye(7, 4).double(), torch.eye(7, 4).double().flip(1)
    elif situation == "alone":
        z1, z2, ids, y = z1[:1], z2[:1], ids[:1], y[:1]
    elif situation == "strangers":
        ids = torch.arange(7)
    else:
        ids, y = torch.zeros_like(IDS), torch.zeros_like(y)
    for dtype in (torch.float32, torch.float64):
        loss = partial(case.loss, ids=ids, y=y.to(dtype))
        for found in value_and_gradients(loss, z1.to(dtype), z2.to(dtype)):
            assert torch.isfinite(found).all(), dtype


@EVERY
def test_a_misspelt_word_is_refused(case: Case) -> None:
    with pytest.raises(TypeError, match="temp"):
        case.loss(*batch(), ids=IDS, y=TARGETS, temp=0.5)


@EVERY
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_a_number_makes_the_loss_not_a_number(case: Case, side: int) -> None:
    views = batch()
    views[side][2, 1] = torch.nan
    value, *_ = value_and_gradients(bound(case), *views)
    assert value.isnan()


@EVERY
def test_half_precision_embeddings_are_contrasted_in_float32(case: Case) -> None:
    z1, z2 = (z.bfloat16() for z in batch())
    expected = case.loss(z1.float(), z2.float(), ids=IDS, y=TARGETS.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.loss(z1, z2, ids=IDS, y=TARGETS.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dense_path_compiles_without_a_break(loss: str) -> None:
    """One case of each loss, and those of further pairings with it in one go: compiling takes a second."""
    torch.compiler.reset()
    own = [case for case in CASES if case.loss_name == loss]
    cases = [bound(case) for case in own if case.compiled or case is own[-1]]

    def total(z1: Tensor, z2: Tensor) -> Tensor:
        return torch.stack([case(z1, z2) for case in cases]).sum()

    compiled = torch.compile(total, fullgraph=True, backend="eager")
    assert_equal(value_and_gradients(compiled, *batch()), value_and_gradients(total, *batch()))


def share_of_a_process(rank: int, group: object, parts: list[int]) -> list[tuple[Tensor, ...]]:
    """Value and gradients of this process's samples, for every case."""
    start = sum(parts[:rank])
    own = slice(start, start + parts[rank])
    z1, z2 = (z[own] for z in batch())
    return [
        value_and_gradients(partial(case.loss, ids=IDS[own], y=TARGETS[own], group=group), z1, z2)
        for case in CASES
        if case.distributed
    ]


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_give_the_loss_and_gradient_of_one(world: int) -> None:
    parts = PARTS[world]
    shares = across(world, share_of_a_process, parts)
    for index, case in enumerate(case for case in CASES if case.distributed):
        values, *gradients = zip(*(share[index] for share in shares), strict=True)
        # What DistributedDataParallel does: the mean over processes of the gradients of each one's loss.
        found = (torch.stack(values).mean(), *(torch.cat(gradient) / world for gradient in gradients))
        try:
            assert_equal(found, value_and_gradients(bound(case), *batch()))
        except AssertionError as error:
            raise AssertionError(f"{case.name}, {world} processes: {error}") from error
