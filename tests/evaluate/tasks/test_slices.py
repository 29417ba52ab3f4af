"""Slices of label maps as items: those that are not blank, with the samples that belong to each."""

from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.embed.encoders import prepared, samples_in
from medcl.errors import UsageError
from medcl.evaluate.tasks.slices import slices_of
from medcl.modality.image.config import ImageConfig
from medcl.modality.volume.config import VolumeConfig
from tests.reduce.redundant_volumes import PATIENTS, SLICES, archive


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    """The manifest, and the folder of prepared volumes."""
    folder = tmp_path_factory.mktemp("slices")
    manifest = archive(folder / "files")
    return manifest, prepared(manifest, VolumeConfig(size=(16, 16, 1)), folder / "store", 1)


def test_slices_that_are_not_blank_are_labelled_by_their_label_map(made: tuple[Manifest, Path]) -> None:
    manifest, store = made
    task, items = slices_of(manifest, store, VolumeConfig(size=(16, 16, 1)), "lesion")
    shown = [place for place in range(SLICES) if place >= 2]
    assert items.row.tolist() == np.repeat(np.arange(PATIENTS), len(shown)).tolist()
    assert task.labels.tolist() == PATIENTS * [place // 2 % 2 for place in shown]
    assert items.patient.tolist() == items.row.tolist()
    assert items.ids[0] == "r0, slice 2"
    assert len(set(items.ids)) == len(items.ids)


@pytest.mark.parametrize("side", [16, 8])
def test_all_tiles_of_a_slice_are_its_samples(made: tuple[Manifest, Path], side: int) -> None:
    manifest, store = made
    data = VolumeConfig(size=(side, side, 1))
    _, items = slices_of(manifest, store, data, "lesion")
    tiles = samples_in(store, manifest, data)
    samples = items.samples(tiles)
    assert len(samples) == len(items.row) * (16 // side) ** 2
    for item in (0, 7, len(items.row) - 1):
        own = samples.samples_of(item)
        places = np.array(samples.places(own))
        assert set(places[:, 2]) == {float(items.ids[item].split()[-1])}
        assert len({(x, y) for x, y, _ in places.tolist()}) == (16 // side) ** 2


def test_what_is_no_slice_is_refused(made: tuple[Manifest, Path]) -> None:
    manifest, store = made
    for data in (VolumeConfig(size=(16, 16, 4)), ImageConfig()):
        with pytest.raises(UsageError, match="the recipe's samples are not slices"):
            slices_of(manifest, store, data, "lesion")
