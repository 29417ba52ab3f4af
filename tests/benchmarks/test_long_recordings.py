"""A recording of a day is prepared and embedded in the memory that one of an hour takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medcl.data.prepare import prepare
from medcl.embed.embeddings import EmbeddingsFile
from medcl.modality import wing
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from medcl.phantom.ecg import LEADS, draw_patient, simulate
from tests.data.wfdb_archive import scanned, write_record
from tests.embed import archives

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
