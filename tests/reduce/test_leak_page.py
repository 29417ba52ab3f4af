"""The page of leaks: every pair with both of its images, and why it is one."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.reduce.leaks import MOST, Leak, Leaks, render_leaks, write_leaks
from medcl.reduce.units import WHOLE


def found(manifest: Manifest, count: int = 1) -> Leaks:
    leaks = tuple(
        Leak(0, 1 + number % 3, WHOLE, WHOLE, 2.0, 1 + number, patients=True, splits=number == 0)
        for number in range(count)
    )
    return Leaks(manifest, leaks, "hash", "distance", {"recordings within each archive": 6.0}, 8, {}, {"r": "flat"})


def test_pairs_are_side_by_side_with_what_they_cross(ecg_manifest: Manifest, tmp_path: Path) -> None:
    few = ecg_manifest.select(np.arange(4))
    write_leaks(tmp_path / "leaks.html", found(few, 2))
    html = (tmp_path / "leaks.html").read_text()
    assert "2 pairs of records are near-duplicates" in html
    assert "Across patients and splits" in html
    assert "2 pairs of slices" in html
    assert "1 records that cannot be compared" in html
    assert html.count("<img") == 4
    for row in (0, 1, 2):
        assert str(few.column("record_id")[row]) in html
    assert not any(str(path) in html for path in few.column("path"))


def test_many_none_and_gone(ecg_manifest: Manifest) -> None:
    few = ecg_manifest.select(np.arange(4))
    many = render_leaks(found(few, MOST + 5))
    assert many.count("<img") == 2 * MOST
    assert "5 more pairs are not shown" in many
    assert "No near-duplicates cross" in render_leaks(found(few, 0))
    gone = few.with_column("path", pa.array(["gone_a.hea", "gone_b.hea", "c.hea", "d.hea"]))
    html = render_leaks(found(gone))
    assert html.count("<img") == 2
    assert "gone_" not in html
