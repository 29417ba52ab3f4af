import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nibabel.nicom import dicomwrappers
from pydicom import dcmread

from medcl.errors import UnreadableError, UsageError
from medcl.modality.dicom.slice import Slice, read_slices
from medcl.modality.dicom.stacks import stacks_of
from medcl.modality.volume.formats.dicom import stack_grid
from tests.modality.dicom.dicom_files import COLUMNS, ROWS, enhanced, series

LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> list[Slice]:
    """Five slices 2.5 mm apart, the last first."""
    return series(tmp_path_factory.mktemp("series"))


def test_slices_are_sorted_by_place_whatever_their_order_and_number(even: list[Slice]) -> None:
    shuffled = random.Random(0).sample(even, len(even))
    for given in (even, even[::-1], shuffled):
        (stack,) = stacks_of(given)
        assert [one.file for one in stack.slices] == [f"{number}.dcm" for number in range(5)]
        assert stack.flags == ()
        np.testing.assert_allclose(stack_grid(stack).spacing, [0.75, 0.5, 2.5])
        assert stack_grid(stack).shape == (COLUMNS, ROWS, 5)
        assert stack_grid(stack).orientation == "LPS"


def test_a_slice_lies_where_nibabel_says(even: list[Slice], tmp_path: Path) -> None:
    """Every slice of an oblique stack: nibabel's affine of that file alone."""
    tilt = np.radians(20)
    direction = [0.0, np.cos(tilt), np.sin(tilt), -1.0, 0.0, 0.0]
    normal = np.cross(direction[:3], direction[3:])
    for number in range(4):
        series(
            tmp_path, 1, ImageOrientationPatient=direction, ImagePositionPatient=list([3, 4, 5] + 3.5 * number * normal)
        )
        (tmp_path / "0.dcm").rename(tmp_path / f"slice{number}")
    paths = sorted(tmp_path.iterdir())
    (stack,) = stacks_of([replace(read_slices(path, tmp_path)[0], sop=path.name) for path in paths])
    assert stack.flags == ()
    for number, one in enumerate(stack.slices):
        # nibabel counts voxels (row, column).
        reference = LPS_TO_RAS @ dicomwrappers.wrapper_from_file(tmp_path / one.file).affine
        for row, column in ((0, 0), (3, 5)):
            expected = reference @ [row, column, 0, 1]
            np.testing.assert_allclose(stack_grid(stack).affine @ [column, row, number, 1], expected, atol=1e-6)


def test_an_enhanced_object_lies_where_nibabel_says(tmp_path: Path) -> None:
    enhanced(tmp_path / "e.dcm", echoes=(5.0,))
    (stack,) = stacks_of(read_slices(tmp_path / "e.dcm", tmp_path))
    assert [one.position[0] for one in stack.slices if one.position] == [30, 26, 22]
    reference = LPS_TO_RAS @ dicomwrappers.wrapper_from_file(tmp_path / "e.dcm").affine
    # nibabel counts (row, column, place), the places here from the other end.
    places = [reference @ [2, 1, place, 1] for place in (2, 1, 0)]
    np.testing.assert_allclose([stack_grid(stack).affine @ [1, 2, place, 1] for place in range(3)], places)


def test_the_real_ct_with_gantry_tilt_and_uneven_slices(real_data: Path) -> None:
    root = real_data / "dicom_ct_dcmqa_ge"
    slices = [one for path in sorted(root.glob("GE/*.dcm")) for one in read_slices(path, root)]
    random.Random(1).shuffle(slices)
    (stack,) = stacks_of(slices)
    assert [one.instance for one in stack.slices] == list(range(1, 29))
    stated = abs(float(dcmread(root / slices[0].file, stop_before_pixels=True).GantryDetectorTilt))
    assert stack.flags == (
        f"gantry tilt {stated:.1f} degrees",
        "uneven spacing: 1.08 to 7.00 mm, up to 22.8 mm off the grid",
    )
    # Each of its two halves is even: there every slice is where the file says, the shear included.
    for half, spacing in ((range(1, 15), 4.22), (range(15, 29), 7.38)):
        (part,) = stacks_of([one for one in slices if one.instance in half])
        assert part.flags == (f"gantry tilt {stated:.1f} degrees",)
        np.testing.assert_allclose(stack_grid(part).spacing, [0.4882812, 0.4882812, spacing])
        for number, one in enumerate(part.slices):
            expected = LPS_TO_RAS[:3, :3] @ one.position
            np.testing.assert_allclose((stack_grid(part).affine @ [0, 0, number, 1])[:3], expected, atol=1e-6)


def test_a_single_slice_and_copies_of_an_instance_are_said(even: list[Slice]) -> None:
    (lone,) = stacks_of(even[:1])
    assert lone.flags[0].startswith("single slice")
    assert stack_grid(lone).spacing[2] == 1  # not its thickness
    (stack,) = stacks_of([*even, replace(even[0], file="copy.dcm"), replace(even[3], file="copy2.dcm")])
    assert len(stack.slices) == 5
    assert stack.flags == ("duplicate SOP instances: 2 left out",)
    (shared,) = stacks_of([replace(one, sop="1.1") for one in even])
    assert len(shared.slices) == 5
    assert shared.flags == ("one SOP instance UID for different slices",)


def test_repeated_positions_are_stacks_in_the_order_of_acquisition(even: list[Slice]) -> None:
    later = [replace(one, sop=f"9.{number}", acquisition=2) for number, one in enumerate(even)]
    # Jitter below what a place is told by does not mix the time points.
    later = [replace(one, position=(-10, -20, (one.position or (0, 0, 0))[2] - 0.004)) for one in later]
    first, second = stacks_of([*later, *even])
    assert {one.acquisition for one in first.slices} == {0}
    assert {one.acquisition for one in second.slices} == {2}
    assert first.flags == ("repeated positions: stack 1 of 2",)
    partly = stacks_of([*even, *later[:2]])
    assert [len(stack.slices) for stack in partly] == [5, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"orientation": (1.0, 0, 0, 0, 0.8, 0.6)},
        {"rows": 8},
        {"columns": 8},
        {"pixel_spacing": (1.0, 1.0)},
        {"echo": 20.0},
        {"b_value": 800.0},
        {"temporal_position": 2},
        {"image_type": ("DERIVED", "PRIMARY", "AXIAL")},
        {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")},
        {"image_type": ("ORIGINAL", "PRIMARY", "P", "ND")},
        {"frame_of_reference": "9.9"},
        {"position": None},
    ],
)
def test_what_does_not_belong_together_is_divided(even: list[Slice], change: dict[str, object]) -> None:
    others = [replace(one, sop=f"8.{one.sop}", **change) for one in even[:2]]
    stacks = stacks_of([*others, *even])
    assert [len(stack.slices) for stack in stacks] == [5, 2]
    assert set(stacks[1].slices) == set(others)


def test_rounding_and_marks_of_processing_do_not_divide(even: list[Slice]) -> None:
    rounded = [
        replace(one, orientation=(1, 1e-5 * number, 0, 0, 1, 0), pixel_spacing=(0.5, 0.75 + 1e-6 * number))
        for number, one in enumerate(even)
    ]
    assert len(stacks_of(rounded)) == 1
    assert len(stacks_of([replace(even[0], image_type=("ORIGINAL", "PRIMARY", "AXIAL", "ADD")), *even[1:]])) == 1


def test_what_a_series_shows_is_said(even: list[Slice]) -> None:
    (derived,) = stacks_of([replace(one, image_type=("DERIVED", "SECONDARY")) for one in even])
    assert derived.flags == ("derived image",)
    (scout,) = stacks_of([replace(one, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")) for one in even])
    assert scout.flags == ("localizer",)
    (text,) = stacks_of([replace(one, burned_in=True) for one in even])
    assert text.flags == ("burned-in annotation",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"position": None}, "no position"),
        ({"orientation": None}, "no position"),
        ({"pixel_spacing": None}, "no position"),
        ({"pixel_spacing": (0.0, 1.0)}, "zero spacing"),
        ({"orientation": (1.0, 0, 0, 1, 0, 0)}, "perpendicular"),
        ({"orientation": (0.0,) * 6}, "perpendicular"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "M", "MOSAIC")}, "a mosaic"),
    ],
)
def test_geometry_that_cannot_be_used_is_refused(even: list[Slice], change: dict[str, object], reason: str) -> None:
    for count in (1, 5):
        for stack in stacks_of([replace(one, **change) for one in even[:count]]):
            with pytest.raises(UnreadableError, match=reason):
                _ = stack_grid(stack)


def test_two_patients_in_one_series_are_refused_without_their_ids(even: list[Slice]) -> None:
    with pytest.raises(UnreadableError, match="2 patients in one series") as refused:
        stacks_of([replace(even[0], patient="another-id"), *even[1:]])
    assert "-id" not in str(refused.value)
    with pytest.raises(UsageError, match="one series"):
        stacks_of([replace(even[0], series="other"), *even[1:]])
