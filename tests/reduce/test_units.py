"""What is compared with what."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA
from medcl.errors import UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.units import WHOLE, Family, chosen_rows, families_of, units_of


def made(patients: list[int | None], splits: list[str | None] | None = None) -> Manifest:
    rows = [
        {"record_id": f"r{i}", "modality": "mr", "format": "nifti", "patient": patient, "study": i // 2}
        | {"shape": [4, 5, 3], "status": "ok", "split": splits[i] if splits else None}
        for i, patient in enumerate(patients)
    ]
    return Manifest(pa.Table.from_pylist(rows, schema=SCHEMA), Path("/nowhere"))


def every(manifest: Manifest) -> np.ndarray:
    return np.ones(len(manifest), dtype=bool)


def test_slices_are_in_the_order_of_the_manifest_and_of_their_volume() -> None:
    manifest = made([5, 4])
    units = units_of(manifest, Family("volume", "slice", "record"), every(manifest), 2)
    assert units.row.tolist() == [0, 0, 0, 1, 1, 1]
    assert units.piece.tolist() == [0, 1, 2, 0, 1, 2]
    assert units.group.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(units_of(manifest, Family("volume", "slice", "record"), every(manifest), 1)) == 10


@pytest.mark.parametrize(
    ("scope", "groups"),
    [("record", [0, 1, 2, 3]), ("study", [0, 0, 1, 1]), ("patient", [0, 1, 0, 2]), ("archive", [0, 0, 0, 0])],
)
def test_scopes_group_whole_records(scope: str, groups: list[int]) -> None:
    manifest = made([7, 3, 7, 1])
    units = units_of(manifest, Family("volume", "record", scope), every(manifest), 2)  # type: ignore[arg-type]
    assert units.group.tolist() == groups
    assert set(units.piece.tolist()) == {WHOLE}


def test_records_of_unknown_patients_never_meet() -> None:
    manifest = made([2, None, None, 1, 2])
    units = units_of(manifest, Family("volume", "record", "patient"), every(manifest), 2)
    assert units.group.tolist() == [0, 1, 2, 3, 0]
    slices = units_of(manifest, Family("volume", "slice", "patient"), every(manifest), 2)
    assert slices.group.reshape(5, 3).tolist() == [[0] * 3, [1] * 3, [2] * 3, [3] * 3, [0] * 3]


def test_what_was_dropped_before_is_not_looked_at_again() -> None:
    manifest = made([0, 0]).with_kept([[2], None], 2)
    units = units_of(manifest, Family("volume", "slice", "record"), every(manifest), 2)
    assert units.piece.tolist() == [2, 0, 1, 2]
    with pytest.raises(UsageError, match="reduced to slices across z, not x"):
        units_of(manifest, Family("volume", "slice", "record"), every(manifest), 0)
    with pytest.raises(UsageError, match="whole volumes are compared first"):
        units_of(manifest, Family("volume", "record", "patient"), every(manifest), 2)


def test_the_training_split_is_reduced_unless_another_is_named() -> None:
    manifest = made([0, 1, 2], ["train", "test", "train"])
    assert chosen_rows(manifest, None).tolist() == [True, False, True]
    assert chosen_rows(manifest, "all").all()
    assert chosen_rows(manifest, "test").tolist() == [False, True, False]
    assert chosen_rows(made([0, 1]), None).all()
    with pytest.raises(UsageError, match="--split val: no record.*test, train"):
        chosen_rows(manifest, "val")


def test_default_scopes() -> None:
    assert [(one.unit, one.scope) for one in families_of(ReduceConfig())][:2] == [
        ("slice", "record"),
        ("record", "patient"),
    ]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"keep": 0.0}, "--keep 0%: a share above 0"),
        ({"keep": 1.2}, "--keep 120%"),
        ({"keep": 0.2, "threshold": 6.0}, "--keep and --threshold"),
        ({"keep": 0.2, "rule": "greedy"}, "goes by a threshold"),
        ({"rule": "k-centre"}, "keeps a share"),
        ({"rule": "best"}, "--rule best: one of greedy"),
        ({"scope": "hospital"}, "--scope hospital: one of record"),
        ({"axis": 3}, "axis 3"),
        ({"run": "a", "encoder": "random", "by": "embedding"}, "give one of them"),
        ({"run": "a"}, "are for --by embedding"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ReduceConfig(**settings)
