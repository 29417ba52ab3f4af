"""An encoder of twelve leads serves a device of one or three: leads that a recording lacks are 0."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import medcl
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError
from medcl.modality import wing
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.spec import SignalCard
from medcl.phantom.ecg import LEADS, draw_patient, simulate
from tests.data.wfdb_archive import write_record
from tests.embed import archives
from tests.evaluate import signal_run

RATE = 100.0
SAME = 1e-6
ENCODER = SignalEncoderConfig("resnet", dim=8, hidden=8, depth=3, stride=8)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(simulate(draw_patient("normal", rng), 12, RATE, rng), dtype=np.float64).round(3)


def only(x: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    return np.where(np.isin(LEADS, leads)[:, None], x, 0.0)


def recorded(folder: Path, name: str, x: np.ndarray, leads: Sequence[str]) -> Path:
    write_record(folder, "p0", name, x[[LEADS.index(one) for one in leads]].T, names=list(leads))
    return folder / "p0" / f"{name}.hea"


@pytest.mark.parametrize("standardise", ["record", "window", "robust", "none"])
@pytest.mark.parametrize("band", [None, (0.5, 40.0)])
def test_a_run_on_twelve_leads_embeds_lead_i(
    x: np.ndarray,
    standardise: str,
    band: tuple[float, float] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = archives.save(tmp_path / "run", SignalCard(ENCODER, tuple(LEADS), RATE, 2.0, standardise, band))
    files = [recorded(tmp_path / "a", "watch", x, ["I"]), recorded(tmp_path / "a", "zeros", only(x, ["I"]), LEADS)]
    words = ["embed", str(run), "--jobs", "1", "--input", *map(str, files)]
    assert main([*words, "-o", str(tmp_path / "strict.parquet")]) == 0
    assert "lacks the channels II, III, aVR" in capsys.readouterr().out
    assert main([*words, "-o", str(tmp_path / "e.parquet"), "--zero-missing"]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 recordings lack channels, which are 0 in them" in said
    assert "quarantined" not in said
    assert main([*words, "-o", str(tmp_path / "e.parquet")]) == 2
    assert "holds embeddings of another treatment of missing channels" in capsys.readouterr().err
    watch, zeros = pq.read_table(tmp_path / "e.parquet").sort_by("input").column("embedding").to_pylist()
    np.testing.assert_allclose(watch, zeros, atol=SAME)
    encoder = medcl.load(run, zero_missing=True)
    np.testing.assert_allclose(encoder.embed(x[:1], sampling_rate=RATE, channels=["I"]), zeros, atol=SAME)
    three = encoder.embed(x[[0, 1, 6]], sampling_rate=RATE, channels=["I", "II", "V1"])
    both = encoder.embed(only(x, ["I", "II", "V1"]), sampling_rate=RATE, channels=LEADS)
    np.testing.assert_allclose(three, both, atol=SAME)
    assert np.abs(three - zeros).max() > 100 * SAME
    with pytest.raises(MedclError, match="lacks the channels"):
        medcl.load(run).embed(x[:1], sampling_rate=RATE, channels=["I"])
    with pytest.raises(MedclError, match="has none of the channels"):
        encoder.embed(x[:1], sampling_rate=RATE, channels=["V7"])


def test_a_model_of_four_leads_predicts_one(ecg_manifest: Manifest, tmp_path: Path, x: np.ndarray) -> None:
    ecg_manifest.write(tmp_path / "m.parquet")
    run = signal_run.write_run(tmp_path / "run", ecg_manifest)
    few = ["--labels", "100%", "--protocols", "probe", "--repeats", "1", "--bootstrap", "10", "--jobs", "1"]
    words = ["finetune", run, "--manifest", tmp_path / "m.parquet", "--target", "sex", "--baselines", "none"]
    assert main([str(word) for word in (*words, "-o", tmp_path / "out", *few)]) == 0
    (model,) = (tmp_path / "out" / "models").iterdir()
    files = [recorded(tmp_path / "a", "watch", x, ["I"]), recorded(tmp_path / "a", "zeros", only(x, ["I"]), LEADS)]
    words = ["predict", str(model), "--jobs", "1", "--input", *map(str, files), "-o", str(tmp_path / "p.parquet")]
    assert main([*map(str, words), "--zero-missing"]) == 0
    watch, zeros = pq.read_table(tmp_path / "p.parquet").sort_by("input").column("probability_M").to_pylist()
    np.testing.assert_allclose(watch, zeros, atol=SAME)
    loaded = medcl.load(model, zero_missing=True)
    np.testing.assert_allclose(loaded.predict(x[:1], sampling_rate=RATE, channels=["I"]), [zeros], atol=SAME)


def test_recordings_of_other_devices_are_prepared_together(tmp_path: Path, x: np.ndarray) -> None:
    for name, leads in (("clinic", LEADS), ("watch", ["I"]), ("holter", ["I", "II", "V1"])):
        recorded(tmp_path / "a", name, x, leads)
    medcl.scan(tmp_path / "a", tmp_path / "m.parquet", patient_per_record=True, jobs=1)
    manifest = Manifest.read(tmp_path / "m.parquet")
    config = SignalConfig(RATE, list(LEADS), standardise="none")
    assert len(prepare(manifest, config, tmp_path / "s", jobs=1).quarantine) == 2
    kept = SignalConfig(RATE, list(LEADS), standardise="none", zero_missing=True)
    store = prepare(manifest, kept, tmp_path / "s", jobs=1)
    assert not store.quarantine
    assert store.notes["channels missing"] == 2
    windows = SignalWindows(store, manifest, kept)
    assert windows.note == "2 of 3 recordings lack channels, which are 0 in them"
    assert wing("signal").note(kept) == "Channels that a recording lacks are 0 in it."
    place = {str(one): row for row, one in enumerate(manifest.column("record_id"))}
    for number, record in enumerate(store.record_ids):
        name = Path(manifest.column("path")[place[record]]).stem
        leads = {"clinic": LEADS, "watch": ["I"], "holter": ["I", "II", "V1"]}[name]
        np.testing.assert_allclose(store.read(number), only(x, leads), atol=2e-3)
    # A recording with all leads is kept in the numbers of its file.
    assert {store.read_native(n, 0, 1).dtype.kind for n in range(3)} == {"i", "f"}


def test_it_is_of_recordings(tmp_path: Path) -> None:
    run = archives.save(tmp_path / "run", archives.pictures())
    with pytest.raises(UsageError, match="zero_missing: is of the channels of recordings, the encoder takes images"):
        medcl.load(run, zero_missing=True).embed(np.zeros((16, 16), dtype=np.uint8))
