"""An ECG on its paper: true to scale, whole, with labels beside the traces."""

import numpy as np
import pytest
from PIL import Image

from medcl.modality.signal import ecg_paper as paper
from medcl.modality.signal.record import Signal
from medcl.show.images import encoded

RATE, MM = 500.0, 3  # Hz; pixels a mm
NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def signal_of(data: np.ndarray, rate: float, channels: tuple[str, ...], unit: str) -> Signal:
    n = len(data)
    return Signal(data.astype(np.float32), rate, channels, (unit,) * n, np.ones(n), np.zeros(n))


def inked(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).max(axis=2) < 110


def spikes(*heights: float, seconds: int = 10) -> np.ndarray:
    """A spike a second of some millivolt in each lead."""
    data = np.zeros((len(heights), int(seconds * RATE)))
    data[:, 500::500] = np.array(heights)[:, None]
    return data


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1.0), ("uV", 1000.0)])
def test_a_second_is_25_mm_and_a_millivolt_10_mm(unit: str, factor: float) -> None:
    signal = signal_of(spikes(2.0, 0.5, -1.0) * factor, RATE, ("I", "II", "V1"), unit)
    ink = inked(paper.ecg_strip(signal, 0.0, 300))
    level = int(np.argmax(ink[:90, 80:100].mean(axis=1)))  # the flat part of the first lead
    top = ink[level - 20 * MM : level - 19 * MM].any(axis=0)
    places = np.flatnonzero(top)
    apart = np.diff(places[np.diff(places, prepend=-9) > 3])
    assert len(apart) == 2
    assert np.all(np.abs(apart - 25 * MM) <= 1)
    assert ink[level - 10 * MM, 3 * MM : 8 * MM].all(), "the calibration pulse is 1 mV high and 5 mm wide"
    assert not ink[0].any(), "nothing is cut off"
    assert len(encoded(paper.ecg_strip(signal, 0.0, 300))) < 6000


def test_no_wave_is_cut_off_and_no_row_enters_another() -> None:
    """A deep S wave makes its row as deep; what exceeds the tallest row halves the gain, and the image says so."""
    shallow = paper.ecg_strip(signal_of(spikes(0.5, 0.5, 0.5), RATE, ("I", "II", "V1"), "mV"), 0.0, 300)
    deep = paper.ecg_strip(signal_of(spikes(0.5, -3.0, 0.5), RATE, ("I", "II", "V1"), "mV"), 0.0, 300)
    assert deep.height - shallow.height == pytest.approx(29 * MM, abs=2 * MM)
    column = inked(deep)[:, (10 + 25) * MM - 1 : (10 + 25) * MM + 2].any(axis=1)
    down = np.flatnonzero(np.diff(np.flatnonzero(column), prepend=-9) > 3)
    longest = np.diff(np.append(down, column.sum())).max()
    assert longest == pytest.approx(30 * MM, abs=5)
    huge = paper.ecg_strip(signal_of(spikes(8.0, 0.5, 0.5), RATE, ("I", "II", "V1"), "mV"), 0.0, 300)
    assert huge.height < 3 * paper.TALLEST * MM
    foot = lambda image: inked(image)[-5 * MM :]  # noqa: E731
    assert (foot(huge) != foot(shallow)).any(), "5 mm/mV"
    assert (foot(deep) == foot(shallow)).all(), "10 mm/mV"


@pytest.mark.parametrize("height", [0.0, 0.5, 2.5])
def test_a_label_covers_no_wave(height: float) -> None:
    """The trace is the same with any label, and what the label adds lies above it."""
    data = np.zeros((1, 5000))
    data[0, 20:60] = height
    plain, named = (inked(paper.ecg_strip(signal_of(data, RATE, (name,), "mV"), 0.0, 300)) for name in (" ", "aVR"))
    assert plain.shape == named.shape
    added = named & ~plain
    assert added.any()
    assert np.array_equal(plain & ~named, np.zeros_like(plain))
    x = np.flatnonzero(added.any(axis=0))
    above = np.array([np.flatnonzero(plain[:, one])[0] for one in x]) if height == 0 else None
    assert above is None or np.flatnonzero(added.any(axis=1)).max() < above.min()


def test_leads_are_chosen_and_gaps_are_left_open() -> None:
    data = np.zeros((12, 1000))
    data[1, 200:400] = np.nan
    signal = signal_of(data, 250, NAMES, "mV")
    assert [NAMES[lead] for lead in paper.leads(signal)] == ["II", "V1", "V5"]
    ink = inked(paper.ecg_strip(signal, 0.0, 300))
    level = int(np.argmax(ink[: len(ink) // 3, 30:80].mean(axis=1)))
    line = ink[level - 1 : level + 2, 30:].any(axis=0)
    assert not line[65:115].any()
    assert line[:55].all()


def test_all_leads_are_in_four_columns_above_a_rhythm_strip() -> None:
    """In each column only its leads have a spike."""
    data = np.zeros((12, 5000))
    for lead in range(12):
        data[lead, int((lead // 3 * 2.5 + 1) * RATE)] = 1.0
    image = paper.whole_ecg(signal_of(data, RATE, NAMES, "mV"), 0.0)
    assert image is not None
    assert image.width == (10 + 250) * MM
    ink = inked(image)
    for column in range(4):
        x = round((10 + (column * 2.5 + 1) * 25) * MM)
        assert ink[:, x - 1 : x + 2].any(axis=1).sum() > 3 * 9 * MM, "three spikes of 10 mm"
    few = signal_of(spikes(1, 1, 1), RATE, ("I", "II", "V1"), "mV")
    assert paper.whole_ecg(few, 0.0) is None, "the strip shows all of it"
    other = paper.whole_ecg(signal_of(spikes(1, 1, 1, 1, 1), RATE, ("a", "b", "c", "d", "e"), "mV"), 2.0)
    assert other is not None
    assert other.width == (10 + 200) * MM, "8 of 10 seconds are left"


def test_what_has_no_unit_of_voltage_is_drawn_without_a_pulse() -> None:
    ink = inked(paper.ecg_strip(signal_of(spikes(500.0), RATE, ("x",), "mmHg"), 0.0, 300))
    assert not ink[: -5 * MM, : 9 * MM].any()
    paper.ecg_strip(signal_of(np.full((1, 10), np.nan), 250, ("x",), "mmHg"), 0.0, 300)
