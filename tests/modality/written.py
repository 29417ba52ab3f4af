"""Small recordings in every format, written at test time with values that are known."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io
import wfdb
from edfio import Bdf, BdfSignal, Edf, EdfSignal, Patient, Recording
from numpy.typing import NDArray

Values = NDArray[np.float64]

ELECTRODES = ("Fp1", "Fz", "O2")


def waves(channels: int = 3, samples: int = 500, scale: float = 1.0, seed: int = 0) -> Values:
    """(channels, samples) of noise within +- 3 x scale."""
    return scale * np.clip(np.random.default_rng(seed).standard_normal((channels, samples)), -3, 3)


def write_wfdb(
    folder: Path,
    name: str,
    digital: NDArray[np.int64],
    *,
    leads: Sequence[str] = ("I", "II", "V1"),
    unit: str = "mV",
    gain: float = 200.0,
    baseline: int = 0,
    storage: str = "16",
    rate: float = 250,
) -> Path:
    """Write digital values (channels, samples); formats that wfdb does not write are packed here."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(digital)
    by_wfdb = storage in ("16", "24", "32", "80", "508", "516", "524")
    wfdb.wrsamp(
        name,
        fs=rate,
        units=[unit] * count,
        sig_name=list(leads[:count]),
        d_signal=np.ascontiguousarray(digital.T),
        fmt=[storage if by_wfdb else "16"] * count,
        adc_gain=[gain] * count,
        baseline=[baseline] * count,
        write_dir=str(folder),
    )
    path = folder / f"{name}.hea"
    if not by_wfdb:
        path.write_text(path.read_text().replace(f"{name}.dat 16 ", f"{name}.dat {storage} "))
        # Format 8 holds the steps from one sample to the next, beginning at the initial value of the header.
        stored = np.diff(digital, prepend=digital[:, :1]) if storage == "8" else digital
        (folder / f"{name}.dat").write_bytes(pack(storage, stored.T.reshape(-1)))
    return path


def pack(storage: str, flat: NDArray[np.int64]) -> bytes:
    """Bytes of the storage formats that wfdb only reads, written from their definition (signal(5) of WFDB).

    310 and 311 hold three samples in 32 bits, so the number of samples has to be a multiple of three.
    """
    if storage == "8":
        return flat.astype("i1").tobytes()
    if storage == "61":
        return flat.astype(">i2").tobytes()
    if storage == "160":
        return (flat + 2**15).astype("<u2").tobytes()
    if storage == "212":
        a, b = (flat & 0xFFF).reshape(-1, 2).T
        return np.stack([a & 0xFF, a >> 8 | (b >> 8) << 4, b & 0xFF], axis=1).astype(np.uint8).tobytes()
    a, b, c = (flat & 0x3FF).reshape(-1, 3).T
    words = a | b << 10 | c << 20 if storage == "311" else a << 1 | (c & 31) << 11 | b << 17 | (c >> 5) << 27
    return words.astype("<u4").tobytes()


def write_edf(
    path: Path,
    values: Values,
    *,
    names: Sequence[str] = ELECTRODES,
    rate: float = 100,
    unit: str = "uV",
    patient: Patient | None = None,
    limit: float = 3276.8,
) -> Path:
    """Write values (channels, samples) in `unit` with edfio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        EdfSignal(row, rate, label=name, physical_dimension=unit, physical_range=(-limit, limit))
        for name, row in zip(names, values, strict=True)
    ]
    Edf(signals, patient=patient or Patient(code="P7"), recording=Recording(), data_record_duration=1).write(path)
    return path


def write_bdf(path: Path, values: Values, *, rate: float = 100) -> Path:
    """Write values (channels, samples) in uV, with a status channel."""
    signals = [
        BdfSignal(row, rate, label=name, physical_dimension="uV", physical_range=(-5000, 5000))
        for name, row in zip(ELECTRODES, values, strict=True)
    ]
    status = BdfSignal(np.zeros(values.shape[1]), rate, label="Status", physical_range=(-8388608, 8388607))
    Bdf([*signals, status], patient=Patient(code="P7"), data_record_duration=1).write(path)
    return path


def write_fif(path: Path, values: Values, *, rate: float = 100) -> Path:
    """Write values (channels, samples) in V, with a trigger channel, through mne."""
    import mne

    info = mne.create_info([*ELECTRODES, "STI 014"], rate, ["eeg"] * 3 + ["stim"])
    info["subject_info"] = {"his_id": "P7", "last_name": "Secret"}
    data = np.vstack([values, np.zeros(values.shape[1])])
    mne.io.RawArray(data, info, verbose="ERROR").save(path, overwrite=True, verbose="ERROR")
    return path


def write_brainvision(folder: Path, name: str, values: Values, *, rate: float = 100, points: bool = True) -> Path:
    """Write values (channels, samples) in uV as int16 at 0.1 uV: .vhdr, .vmrk and .eeg."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.rint(values / 0.1).astype("<i2")
    stored.T.tofile(folder / f"{name}.eeg")
    channels = "\n".join(f"Ch{i + 1}={electrode},,0.1,\u00b5V" for i, electrode in enumerate(ELECTRODES))
    (folder / f"{name}.vhdr").write_text(
        f"""Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
MarkerFile={name}.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={len(values)}
SamplingInterval={1e6 / rate:g}
{f"DataPoints={values.shape[1]}" if points else ""}

[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
{channels}
""",
        encoding="utf-8",
    )
    (folder / f"{name}.vmrk").write_text(
        f"""Brain Vision Data Exchange Marker File, Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg

[Marker Infos]
Mk1=New Segment,,1,1,0,20260101000000000000
""",
        encoding="utf-8",
    )
    return folder / f"{name}.vhdr"


def write_eeglab(path: Path, values: Values, *, rate: float = 100) -> Path:
    """Write values (channels, samples) in uV: .set with its samples in .fdt."""
    values.T.astype("<f4").tofile(path.with_suffix(".fdt"))
    locations = np.array([(name,) for name in ELECTRODES], dtype=[("labels", object)])
    scipy.io.savemat(
        path,
        {
            "EEG": {
                "setname": "made",
                "nbchan": len(values),
                "pnts": values.shape[1],
                "trials": 1,
                "srate": rate,
                "xmin": 0.0,
                "xmax": (values.shape[1] - 1) / rate,
                "data": path.with_suffix(".fdt").name,
                "chanlocs": locations,
                "event": [],
                "epoch": [],
                "ref": "common",
            }
        },
        appendmat=False,
    )
    return path


def write_gdf(
    path: Path,
    values: Values,
    *,
    rate: int = 100,
    unit: str = "uV",
    units: Sequence[str] = (),
    rates: Sequence[int] = (),
    seconds: int = 1,
) -> Path:
    """Write values (channels, samples) as int16 at a tenth of their unit, GDF 1.25, data records of a second.

    A channel with another of the `rates` keeps each so-many-th sample.
    """
    count, samples = values.shape
    records = samples // rate
    rates, units = rates or (rate,) * count, units or (unit,) * count
    stored = np.rint(values / 0.1).astype("<i2").reshape(count, records, rate)
    text = b"".join
    head = b"GDF 1.25" + b"P7 Secret".ljust(80) + b"".ljust(80) + b"2026010100000000"
    head += struct.pack("<q", 256 * (count + 1)) + bytes(24) + bytes(20)
    head += struct.pack("<q", records) + struct.pack("<II", seconds, 1) + struct.pack("<I", count)
    head += text(name.encode().ljust(16) for name in ELECTRODES) + bytes(80 * count)
    head += text(one.encode().ljust(8) for one in units)
    head += struct.pack(f"<{count}d", *[-3276.8] * count) + struct.pack(f"<{count}d", *[3276.7] * count)
    head += struct.pack(f"<{count}q", *[-32768] * count) + struct.pack(f"<{count}q", *[32767] * count)
    head += b" " * (80 * count) + struct.pack(f"<{count}i", *rates) + struct.pack(f"<{count}i", *[3] * count)
    head += bytes(32 * count)
    assert len(head) == 256 * (count + 1), len(head)
    body = text(stored[i, record, :: rate // rates[i]].tobytes() for record in range(records) for i in range(count))
    path.write_bytes(head + body + bytes(8))
    return path
