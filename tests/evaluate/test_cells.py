"""Cells of an experiment: computed once, kept by their content, in processes or on a cluster."""

from pathlib import Path

import numpy as np
import pytest

from medcl.errors import MedclError
from medcl.evaluate.cells import Arrays, Cell, compute, fingerprint, is_kept, read


def noise(seed: int, size: int) -> Arrays:
    return {"values": np.random.default_rng(seed).normal(size=size), "name": np.array(f"seed {seed}")}


def cells(count: int) -> list[Cell]:
    return [Cell(noise, (seed, 4), {"seed": seed, "size": 4}) for seed in range(count)]


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_cell_is_computed_once_whatever_the_number_of_processes(tmp_path: Path) -> None:
    keys = compute([*cells(5), *cells(2)], tmp_path / "two", jobs=2)
    assert keys[:2] == keys[5:]
    assert len(times(tmp_path / "two")) == 5
    assert compute(cells(5), tmp_path / "one", jobs=1) == keys[:5]
    for key in keys:
        both = read(tmp_path / "one", key), read(tmp_path / "two", key)
        np.testing.assert_array_equal(both[0]["values"], both[1]["values"])
    before = times(tmp_path / "two")
    compute(cells(6), tmp_path / "two", jobs=1)
    assert {name: time for name, time in times(tmp_path / "two").items() if name in before} == before
    assert set(read(tmp_path / "two", keys[0], ("name",))) == {"name"}


def test_what_a_result_depends_on_is_in_its_key() -> None:
    other = [Cell(noise, (0, 4), {"seed": 0, "size": 5}), Cell(noise, (0, 4), {"seed": 0, "size": 4, "more": None})]
    assert len({cell.key for cell in (*cells(3), *other)}) == 5
    assert fingerprint(np.array([1, 2])) != fingerprint(np.array([[1, 2]])) != fingerprint(np.array(["1", "2"]))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_cell_is_computed_anew_and_never_read(tmp_path: Path, damage: str) -> None:
    (key,) = compute(cells(1), tmp_path, jobs=1)
    path, wanted = tmp_path / f"{key}.npz", read(tmp_path, key)["values"]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    harm = {"cut": path.read_bytes()[:-30], "flip": bytes(content), "empty": b"", "text": b"no archive"}
    path.write_bytes(harm[damage])
    assert not is_kept(tmp_path, key)
    if damage != "flip":
        with pytest.raises(MedclError, match=r"removed or damaged.*run the same command again"):
            read(tmp_path, key)
    compute(cells(1), tmp_path, jobs=1)
    np.testing.assert_array_equal(read(tmp_path, key)["values"], wanted)


def test_a_cluster_gives_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as made:
        keys = compute(cells(3), tmp_path / "there", cluster=made.scheduler_address)
    compute(cells(3), tmp_path / "here", jobs=1)
    for key in keys:
        both = [read(tmp_path / folder, key)["values"] for folder in ("here", "there")]
        np.testing.assert_array_equal(*both)
