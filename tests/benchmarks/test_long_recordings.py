"""A recording of a day is prepared and embedded in the memory that one of an hour takes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.data.prepare import prepare
from medcl.embed.embeddings import EmbeddingsFile
from medcl.modality import wing
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from medcl.phantom.ecg import LEADS, draw_patient, simulate
from tests.data.wfdb_archive import scanned, write_record
from tests.embed import archives
from tests.modality.signal.formats.write_signals import write_eeglab73
from tests.modality.written import Values, waves, write_brainvision, write_eeglab, write_fif, write_gdf

RATE, CHANNELS = 100.0, ("I", "II", "V1")
# Memory of its own: pages of the store that are mapped belong to the system, which takes them back when it needs them.
WATCHED = """
import sys, threading, time
from pathlib import Path
from medcl.archive.manifest import Manifest
{imports}

def own():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

def watch():
    while True:
        seen.append(own())
        time.sleep(0.02)

seen = [own()]
threading.Thread(target=watch, daemon=True).start()
{work}
print(max(seen))
"""
EMBED = WATCHED.format(
    imports="from medcl.embed.apply import embed_manifest\nfrom medcl.embed.config import EmbedConfig",
    work="""
run, manifest, store, output, level = sys.argv[1:]
config = EmbedConfig(level=level, batch=32, jobs=1)
embed_manifest(Path(run), Manifest.read(manifest), config, Path(store), Path(output))
""",
)
DECODE = WATCHED.format(
    imports="""from medcl.archive.file_state import scanned
from medcl.data.decode import sources
from medcl.modality import wing
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.prepare import decode, resolve""",
    work="""
manifest = Manifest.read(sys.argv[1])
(source,) = sources(manifest, wing("signal"), scanned(manifest))
held = decode(source, resolve(manifest, SignalConfig(band=[0.5, 40.0]))).arrays[None]
if hasattr(held, "remove"):
    held.remove()
""",
)
PREPARE = WATCHED.format(
    imports="from medcl.data.prepare import prepare\nfrom medcl.modality.signal.config import SignalConfig",
    work="""
manifest, store, band = sys.argv[1:]
config = SignalConfig(band=[0.5, 40.0] if band else None)
prepare(Manifest.read(manifest), config, Path(store), jobs=1)
""",
)


def peak(script: str, *words: object) -> int:
    """Bytes of its own that a process took at most."""
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024


def recording(folder: Path, hours: int) -> Path:
    """The manifest of one patient with a recording of some hours: ten minutes again and again, each with own noise."""
    rng = np.random.default_rng(0)
    piece = simulate(draw_patient("normal", rng), 600, RATE, rng)[[LEADS.index(name) for name in CHANNELS]].T
    pieces = [piece + rng.normal(0, 0.01, piece.shape) for _ in range(6 * hours)]
    write_record(folder, "p0", "holter", np.concatenate(pieces))
    scanned(folder)
    return folder.with_suffix(".parquet")


@pytest.mark.benchmark
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak of memory is read from /proc")
def test_a_day_takes_the_memory_of_an_hour(tmp_path: Path) -> None:
    network = SignalEncoderConfig("resnet", dim=64, hidden=16, depth=3, stride=8)
    card = SignalCard(network, CHANNELS, RATE, 10.0, "record")
    run = archives.save(tmp_path / "run", card)
    peaks = {}
    for hours in (1, 24):
        path = recording(tmp_path / f"h{hours}", hours)
        manifest, store = archives.Manifest.read(path), tmp_path / f"store{hours}"
        prepare(manifest, wing("signal").data_of(card), store, jobs=1)
        for level in ("record", "window"):
            output = tmp_path / f"{hours}-{level}.parquet"
            peaks[hours, level] = peak(EMBED, run, path, store, output, level)
            assert len(EmbeddingsFile.read(output)) == (1 if level == "record" else hours * 360)
    values = 2 * len(CHANNELS) * 24 * 3600 * RATE
    for level in ("record", "window"):
        short, long = peaks[1, level], peaks[24, level]
        print(f"\n{level}: peak {short / 1e6:.0f} MB for 1 h, {long / 1e6:.0f} MB for 24 h of {values / 1e6:.0f} MB")
        # Rows of windows wait until a shard of 8,192 is whole, which a recording of an hour does not fill.
        assert long - short < {"record": 0.25, "window": 1.25}[level] * values


@pytest.mark.benchmark
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak of memory is read from /proc")
@pytest.mark.parametrize("band", ["", "band"])
def test_a_day_is_prepared_in_constant_memory(tmp_path: Path, band: str) -> None:
    peaks = {}
    for hours in (1, 6, 24):
        path = recording(tmp_path / f"h{hours}", hours)
        peaks[hours] = peak(PREPARE, path, tmp_path / f"store{hours}", band)
    told = ", ".join(f"{hours} h {one / 1e6:.0f} MB" for hours, one in peaks.items())
    print(f"\nprepare{' with data.band' * bool(band)}: {told}")
    # From six hours on a recording is read in pieces.
    assert peaks[24] < 1.15 * peaks[6]
    assert peaks[24] < 4e8


WRITERS: dict[str, Callable[[Path, Values], Path]] = {
    "gdf": lambda folder, values: write_gdf(folder / "a.gdf", values),
    "fif": lambda folder, values: write_fif(folder / "a_raw.fif", values * 1e-6),
    "brainvision": lambda folder, values: write_brainvision(folder, "a", values),
    "eeglab": lambda folder, values: write_eeglab(folder / "a.set", values),
    "eeglab v7.3": lambda folder, values: write_eeglab73(folder / "a.set", values),
}


@pytest.mark.benchmark
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak of memory is read from /proc")
@pytest.mark.parametrize("form", WRITERS)
def test_a_day_of_other_formats_is_decoded_in_constant_memory(tmp_path: Path, form: str) -> None:
    peaks = {}
    for hours in (6, 24):
        folder = tmp_path / f"h{hours}"
        folder.mkdir()
        values = np.tile(waves(samples=360_000, scale=50), hours)
        WRITERS[form](folder, values)
        build_manifest(ScanRequest(folder, tmp_path / f"{hours}.parquet", patient_per_record=True, jobs=1))
        peaks[hours] = peak(DECODE, tmp_path / f"{hours}.parquet")
    print(f"\n{form}: 6 h {peaks[6] / 1e6:.0f} MB, 24 h {peaks[24] / 1e6:.0f} MB")
    # Six hours are read as a whole, a day in pieces.
    assert peaks[24] < 1.15 * peaks[6]
    assert peaks[24] < 4e8
