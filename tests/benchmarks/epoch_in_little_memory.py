"""Reads an epoch of a store under a limit of memory; a script that `test_store` runs.

Arguments: folder of the store, bytes that it holds, bytes of memory allowed beside what is loaded.

Prints how many windows there were, and how many MB more memory is taken at the end than before.
"""

import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.data.loader import loader
from medcl.data.sampler import Sampler
from medcl.data.store import open_store
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.signal.store import SignalStore


def private_memory() -> int:
    """Bytes that RLIMIT_DATA counts: what the process has for itself, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmData"))) * 1024


def samples_of(store: SignalStore) -> SignalWindows:
    """Every record is one patient's one trial."""
    number = np.arange(len(store))
    columns = {"record_id": list(store.record_ids), "patient": number, "trial": number}
    columns |= {
        name: [value] * len(store) for name, value in (("modality", "ecg"), ("format", "wfdb"), ("status", "ok"))
    }
    return SignalWindows(store, Manifest(pa.table(columns), store.folder), SignalConfig(stride=2.5))


def main(folder: Path, archive: int, extra: int) -> None:
    """Read every window once."""
    windows = samples_of(open_store(folder, "signal"))
    patient, trial = windows.ids["patient"], windows.ids["trial"]
    sampler = Sampler(patient, trial, patients=1, records=1, samples=len(windows))
    windows[0]  # loads what reading needs
    before = private_memory()
    resource.setrlimit(resource.RLIMIT_DATA, (before + extra, before + extra))
    try:
        np.ones(archive, dtype=np.uint8)
        sys.exit("the limit does not hold")
    except MemoryError:
        pass
    seen = np.zeros(len(windows), dtype=np.int64)
    steps = sampler.batches(0, len(sampler))
    for batch, picked in zip(loader(windows, sampler, 0, len(sampler)), steps, strict=True):
        assert np.array_equal(batch["index"].numpy(), windows.rows[picked])
        seen[picked] += 1
    assert (seen == 1).all()
    print(len(windows), max(0, private_memory() - before) >> 20)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
