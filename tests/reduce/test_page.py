"""The page of a reduction: what was found is on it, with images, and a browser loads nothing for it."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest, Target
from medcl.reduce.page import balance, curve, per_patient, render_page, write_page
from medcl.reduce.preview import Preview, StrategyPreview
from medcl.reduce.selection import Selection
from medcl.reduce.strategies import STRATEGIES
from medcl.reduce.units import WHOLE, Family, Units

EVIL = "<script>alert('x')</script>"


def preview_of(
    manifest: Manifest, strategy: str = "hash", how: str = "distance", knee: float | None = 4.0
) -> StrategyPreview:
    """Every second record stands for the one behind it."""
    n = len(manifest)
    numbers = np.arange(n)
    keep = numbers % 2 == 0
    units = Units(Family("signal", "record", "patient"), numbers, np.full(n, WHOLE), np.zeros(n, dtype=np.int64))
    measure = np.where(keep, np.nan, 3.0).astype(np.float32)
    chosen = Selection(units, keep, numbers - numbers % 2, measure, strategy, how, 6.0)
    return StrategyPreview(chosen, np.array([0.0, 4.0, 6.0]), np.array([1.0, 0.75, 0.5]), knee, 1.25)


@pytest.fixture
def ecgs(ecg_manifest: Manifest) -> Manifest:
    return ecg_manifest.select(np.arange(8))


def test_the_page_says_what_is_kept_and_shows_what_is_not(ecgs: Manifest, tmp_path: Path) -> None:
    previews = (preview_of(ecgs), preview_of(ecgs, EVIL, "similarity", None))
    found = Preview(ecgs, 2, previews, {"minhash": "compares reports; there are none"})
    write_page(tmp_path / "new" / "reduce.html", found)
    html = (tmp_path / "new" / "reduce.html").read_text()
    assert "hash at distance 6 keeps 50.0% of 8 recordings" in html
    assert "4 of 8" in html
    assert "compares reports; there are none" in html
    body = html.split("</style>")[1].split("<script>")[0]
    assert body.count('src="data:image/png;base64,') == 2 * 4 * 2, "four pairs of each strategy"
    assert '"curve-1"' in html
    assert EVIL not in html
    assert not re.search(r'(src|href)="(?!data:)', body)
    assert "50.0%" in str(found)
    for column in ("patient", "path"):
        assert not any(f'"{value}"' in body or f">{value}<" in body for value in ecgs.column(column))


def test_axes_say_what_they_show_and_in_which_unit(ecgs: Manifest) -> None:
    drawn = curve(preview_of(ecgs))["layout"]
    assert drawn["xaxis"]["title"]["text"] == "Hamming distance (bits)"
    assert drawn["yaxis"]["title"]["text"] == "units kept (%)"
    bars = per_patient(ecgs, preview_of(ecgs).selection)["layout"]
    assert bars["xaxis"]["title"]["text"] == "units kept of a patient (%)"
    assert bars["yaxis"]["title"]["text"] == "number of patients"
    assert all(entry.axis for entry in STRATEGIES.values())


def test_a_page_of_files_that_have_gone_still_shows_the_numbers(ecgs: Manifest) -> None:
    gone = ecgs.with_column("path", pa.array([f"not_there_{n}.hea" for n in range(len(ecgs))]))
    html = render_page(Preview(gone, 2, (preview_of(gone),)))
    assert "cannot be read" in html or "No such file" in html
    assert "not_there" not in html
    assert "keeps 50.0%" in html


def test_nothing_dropped_and_nothing_compared(ecgs: Manifest) -> None:
    preview = preview_of(ecgs)
    units = preview.selection.units
    every = np.ones(len(units), dtype=bool)
    nothing = np.full(len(units), np.nan, dtype=np.float32)
    whole = Selection(units, every, np.arange(len(units)), nothing, "hash", "distance", None)
    html = render_page(Preview(ecgs, 2, (StrategyPreview(whole, preview.thresholds, preview.shares, None, 0.0),)))
    assert "No unit is dropped as a duplicate of another" in html
    assert "Nothing could be compared" in render_page(Preview(ecgs, 2, (), {"ssim": "compares slices"}))


def test_balance_and_patients_count_units(ecgs: Manifest) -> None:
    labels = pa.array(["a", "b", "a", "b", "a", "a", None, "b"])
    labelled = ecgs.with_column("finding", labels).with_targets({"finding": Target("finding", "binary", ("a", "b"))})
    chosen = preview_of(labelled).selection
    assert balance(labelled, chosen) == [("finding", [("a", 4 / 7, 1.0), ("b", 3 / 7, 0.0)])]
    patients = ecgs.with_column("patient", pa.array([1, 1, 1, 1, 2, 2, None, None]))
    bars = per_patient(patients, chosen)["data"][0]
    # Two patients keep half; of the two records without one, one is kept and one is not.
    assert sum(bars["y"]) == 4
    assert bars["y"][-1] == 1
    assert bars["y"][0] == 1
    assert bars["y"][10] == 2
