"""The programs that go with an exported network give the samples that the pipeline gives, without medcl."""

import ast
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.modality import WINGS, wing
from medcl.modality.formats import read_signal
from medcl.modality.image.config import ImageConfig
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import ImageCard, SignalCard, TextCard, VolumeCard
from medcl.modality.table.config import TableConfig, TableEncoderConfig
from medcl.modality.table.encoders import TableCard
from medcl.modality.table.samples import Grid
from medcl.modality.volume.config import VolumeConfig
from tests.data.image_archive import write_archive
from tests.evaluate import segment_archive

TOLERANCE = 1e-4
"""Of standardised signals, of filters that are computed by other routines; other samples are equal to 1e-6."""


def reference(name: str) -> Any:
    return importlib.import_module(f"medcl.modality.{name}.reference").preprocess


def settings(name: str, card: Any) -> dict[str, Any]:
    """As a user reads them: from JSON."""
    return dict(json.loads(json.dumps(wing(name).preprocessing(card).settings)))


@pytest.mark.parametrize("name", WINGS)
def test_it_is_short_and_imports_nothing_of_medcl(name: str) -> None:
    path = Path(importlib.import_module(f"medcl.modality.{name}").__file__ or "").with_name("reference.py")
    text = path.read_text()
    assert len(text.splitlines()) <= 150
    imported = {
        (one.module if isinstance(one, ast.ImportFrom) else one.names[0].name) or ""
        for one in ast.walk(ast.parse(text))
        if isinstance(one, ast.Import | ast.ImportFrom)
    }
    beside = {module.split(".")[0] for module in imported} - set(sys.stdlib_module_names)
    assert beside == {"numpy", *({"tokenizers"} if name == "report" else ())}


def compared(manifest: Manifest, kind: str, config: Any, store: Path, made: Any) -> float:
    """The largest difference over the records of a manifest; `made` gives the samples of one by its row."""
    own = wing(kind)
    samples = own.samples(prepare(manifest, config, store, jobs=1), manifest, config)
    rows = np.unique(samples.rows)
    assert len(rows) > 1
    largest = 0.0
    for row in rows.tolist():
        wanted = samples.__getitems__(samples.samples_of(row).tolist())["x"].numpy()
        found = made(row)
        assert found.shape == wanted.shape
        largest = max(largest, float(np.abs(np.nan_to_num(found - wanted)).max()))
        assert (np.isnan(found) == np.isnan(wanted)).all()
    return largest


@pytest.mark.parametrize(
    ("rate", "band", "notch", "standardise", "align", "overlap"),
    [
        (100.0, None, None, "record", "none", 0.0),
        (100.0, None, None, "record", "none", 0.75),
        (100.0, None, None, "none", "none", 0.0),
        (100.0, None, None, "robust", "none", 0.0),
        (100.0, None, None, "window", "none", 0.0),
        (80.0, [0.5, 35.0], None, "record", "none", 0.0),
        (125.0, [None, 40.0], 50.0, "window", "none", 0.5),
        (64.0, [1.0, None], None, "none", "recording", 0.0),
    ],
)
def test_windows_of_an_ecg(
    ecg_manifest: Manifest,
    tmp_path: Path,
    rate: float,
    band: Any,
    notch: float | None,
    standardise: Any,
    align: Any,
    overlap: float,
) -> None:
    config = SignalConfig(
        sampling_rate=rate,
        channels=["V5", "I"],
        window=2.0,
        stride=2.0 * (1 - overlap),
        clip=2.0 if standardise == "robust" else 0.0,
        band=band,
        notch=notch,
        standardise=standardise,
        align=align,
    )
    manifest = ecg_manifest.select(np.flatnonzero(ecg_manifest.column("status") == "ok")[:6])
    card = SignalCard(
        SignalEncoderConfig(),
        ("V5", "I"),
        rate,
        2.0,
        standardise,
        band and tuple(band),
        notch,
        align,
        overlap=overlap,
        clip=config.clip,
    )

    def made(row: int) -> NDArray[np.float32]:
        path = manifest.root / str(manifest.column("path")[row])
        signal = read_signal(path, str(manifest.column("format")[row]), manifest.stated)
        x = signal.physical()
        return reference("signal")(x, signal.sampling_rate, signal.channels, signal.units, settings("signal", card))

    assert compared(manifest, "signal", config, tmp_path, made) < TOLERANCE


@pytest.mark.parametrize(
    "config",
    [
        ImageConfig(size=(16, 24)),
        ImageConfig(size=(64, 48), fit="crop"),
        ImageConfig(size=(17, 9), fit="stretch", border=0.1, percentiles=(1, 99)),
        ImageConfig(size=(16, 16), colour=True, window=(20.0, 200.0)),
    ],
)
def test_images(tmp_path: Path, config: ImageConfig) -> None:
    rng = np.random.default_rng(0)
    shapes = {"a": (40, 40), "b": (51, 33), "c": (30, 80, 3)}
    pixels = {name: rng.integers(0, 256, shape).astype(np.uint8) for name, shape in shapes.items()}
    pixels["d"] = rng.integers(0, 60000, (45, 37)).astype(np.uint16)
    manifest = write_archive(tmp_path / "archive", pixels)
    card = ImageCard(ImageEncoderConfig(), 3 if config.colour else 1, "xray", asdict(config))

    def made(row: int) -> NDArray[np.float32]:
        opened = np.asarray(Pillow.open(manifest.root / str(manifest.column("path")[row])))
        return reference("image")(opened, settings("image", card))

    # A grey level of 256, where numbers are rounded the other way.
    assert compared(manifest, "image", config, tmp_path / "store", made) <= 1.001 / 255


@pytest.mark.parametrize(
    "config",
    [
        VolumeConfig(size=(8, 8, 4)),
        VolumeConfig(size=(16, 16, 1), spacing=(20.0, None, 15.0)),
        VolumeConfig(size=(12, 1, 12), foreground=True, percentiles=(5.0, 95.0)),
        VolumeConfig(size=(32, 20, 16), spacing=(9.0, 9.0, 9.0), foreground=True),
    ],
)
def test_tiles_of_a_volume(tmp_path: Path, config: VolumeConfig) -> None:
    manifest = segment_archive.write_heads(tmp_path, patients=4, fractions=(2, 1, 1))
    card = VolumeCard(ImageEncoderConfig(), 1, "mr", asdict(config))

    def made(row: int) -> NDArray[np.float32]:
        image: Any = nib.as_closest_canonical(nib.load(manifest.root / str(manifest.column("path")[row])))
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
        return reference("volume")(np.asarray(image.dataobj), spacing, settings("volume", card))

    assert compared(manifest, "volume", config, tmp_path / "store", made) < 1e-5


def test_a_window_of_a_ct_clips_and_whole_numbers_stay_whole() -> None:
    card = VolumeCard(ImageEncoderConfig(), 1, "ct", asdict(VolumeConfig(size=(4, 4, 4), window=(-100.0, 100.0))))
    voxels = np.linspace(-1000, 1000, 64).astype(np.int16).reshape(4, 4, 4)
    tiles = reference("volume")(voxels, (1.0, 1.0, 1.0), settings("volume", card))
    np.testing.assert_allclose(tiles[0, 0], np.clip((voxels + 100.0) / 200, 0, 1), atol=1e-6)
    constant = VolumeCard(ImageEncoderConfig(), 1, "mr", asdict(VolumeConfig(size=(4, 4, 4))))
    with pytest.raises(ValueError, match="black and white"):
        reference("volume")(0 * voxels, (1.0, 1.0, 1.0), settings("volume", constant))


@pytest.mark.parametrize("sections", [(), ("findings",), ("Impression", "Findings")])
def test_reports(tmp_path: Path, sections: tuple[str, ...]) -> None:
    bodies = {"Findings": "The heart is not enlarged.\n  No effusion.", "impression": "Normal chest, unchanged."}
    whole = "\n\n".join(f"{name.upper()}: {body}" for name, body in bodies.items())
    tokenizer = Tokenizer.train([whole, *bodies.values()], 300)
    card = TextCard(TextEncoderConfig(), tokenizer.to_json(), None, asdict(TextConfig(sections=sections, length=20)))
    own = wing("report")
    (tmp_path / "tokenizer.json").write_text(own.preprocessing(card).further["tokenizer.json"])
    given = bodies if sections else whole
    found = reference("report")([given, given], settings("report", card), str(tmp_path / "tokenizer.json"))
    wanted = own.pieces(whole, own.data_of(card)).numpy()
    np.testing.assert_array_equal(found, np.concatenate([wanted, wanted]))
    if sections:
        with pytest.raises(ValueError, match="give {heading: text}"):
            reference("report")([whole], settings("report", card), str(tmp_path / "tokenizer.json"))


@pytest.mark.parametrize("scaling", ["z-score", "percentile", "none"])
@pytest.mark.parametrize("window", [None, 6.0])
def test_tables(scaling: Any, window: float | None) -> None:
    config = TableConfig(
        columns=["pulse", "never", "sex"],
        missing={"pulse": [-1.0]},
        window=window,
        start=1.0,
        step=2.0,
        scaling=scaling,
        units={"pulse": "1/min"},
        classes={"sex": ["f", "m"]},
        scale=None if scaling == "none" else {"pulse": [70.0, 5.0], "never": [3.0, 0.0]},
    )
    hours = np.array([0.5, 1.0, 2.9, 3.0, 6.9, 9.0]) if window else np.array([np.nan])
    rng = np.random.default_rng(0)
    pulse, never = rng.normal(70, 20, len(hours)), np.full(len(hours), 3.0)
    sex = rng.integers(0, 2, len(hours)).astype(float)
    sex[-1], pulse[:1] = 1.0, -1.0
    table = np.column_stack([hours, np.where(pulse == -1, np.nan, pulse), never, sex])
    wanted = Grid.of(config).sample(table, 1.0)
    about = settings("table", TableCard(TableEncoderConfig(), asdict(config)))
    variables = {"pulse": pulse.tolist(), "never": never.tolist(), "sex": sex.tolist()}
    found = reference("table")(variables, about, hours.tolist() if window else None)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-6)
    with pytest.raises(ValueError, match="give values of pulse"):
        reference("table")({"weight": [1.0]}, about)
