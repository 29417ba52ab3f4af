from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from medcl.modality.dicom.slice import Slice
from medcl.modality.dicom.stacks import stacks_of
from medcl.modality.volume.formats.dicom import stack_grid
from tests.modality.dicom.dicom_files import series


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> list[Slice]:
    return series(tmp_path_factory.mktemp("series"))


def placed(slices: list[Slice], place: Callable[[int], tuple[float, float, float]]) -> list[Slice]:
    return [replace(one, position=place(number)) for number, one in enumerate(slices)]


@pytest.mark.parametrize(
    ("heights", "flag"),
    [
        ((0, 1, 2, 3, 4.015), ()),
        ((0, 1, 2, 4, 5), ("missing slices: 1, others up to 0.5 mm off the grid",)),
        ((0, 1, 2, 3, 6), ("missing slices: 2, others up to 1.5 mm off the grid",)),
        ((0, 1, 2.4, 3, 4), ("uneven spacing: 0.60 to 1.40 mm, up to 0.4 mm off the grid",)),
    ],
)
def test_spacing_that_is_not_even_is_said(even: list[Slice], heights: tuple[float, ...], flag: tuple[str, ...]) -> None:
    (stack,) = stacks_of(placed(even, lambda number: (0, 0, heights[number])))
    assert stack.flags == flag
    assert stack_grid(stack).affine[2, 2] == pytest.approx(heights[-1] / 4)


def test_tilt_is_a_shear_and_its_angle_is_said(even: list[Slice]) -> None:
    (stack,) = stacks_of(placed(even, lambda number: (0, 3.0 * number, 4.0 * number)))
    assert stack.flags == ("gantry tilt 36.9 degrees",)
    np.testing.assert_allclose(stack_grid(stack).affine[:3, 2], [0, -3, 4])
    (bent,) = stacks_of(placed(even, lambda number: (0, 2.0 * (number == 2), 4.0 * number)))
    assert bent.flags == ("shifted slices: up to 2.0 mm off the grid",)
