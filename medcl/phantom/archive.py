"""A folder of synthetic patients as a hospital delivers it: WFDB and EDF files, label tables, some broken files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.phantom import ecg, eeg
from medcl.phantom.person import Watch, write_csv
from medcl.phantom.site import Site, record

Signals = NDArray[np.float32]

ECG_MIX = ("normal", "normal", "st_elevation", "bundle_branch_block", "atrial_fibrillation")
"""The diagnoses of each five patients, in shuffled order."""
GAIN = 1000.0
"""WFDB digital units per mV."""
EDF_RANGE = 3276.8
"""uV at the ends of EDF's 16 bits: 0.1 uV a step."""


@dataclass(frozen=True)
class Phantom:
    """What was written.

    Attributes:
        folder: Its root.
        ecg_patients: With at least one ECG.
        ecg_records: WFDB records that can be read.
        eeg_subjects: With at least one EEG.
        eeg_records: EDF files that can be read.
        damaged: Files that no reader should accept, relative to the root.
    """

    folder: Path
    ecg_patients: int
    ecg_records: int
    eeg_subjects: int
    eeg_records: int
    damaged: tuple[str, ...]

    def __str__(self) -> str:
        """What a person is told."""
        told = []
        if self.ecg_patients:
            told.append(f"{self.ecg_records} ECGs of {self.ecg_patients} patients (ecg/, WFDB)")
        if self.eeg_subjects:
            told.append(f"{self.eeg_records} EEGs of {self.eeg_subjects} subjects (eeg/, EDF)")
        if self.damaged:
            told.append(f"{len(self.damaged)} damaged files (ecg/damaged/)")
        return f"{self.folder}: {', '.join(told) or 'no recordings'}"


def write(
    folder: Path,
    ecg_patients: int = 120,
    eeg_subjects: int = 30,
    seed: int = 0,
    *,
    stimulus: bool = False,
    watch: Watch = iter,
) -> Phantom:
    """Write the whole archive: `ecg/` with `labels.csv`, `eeg/` with `labels.csv`, and `ecg/damaged/`.

    The same seed gives the same bytes; a patient is the same whatever the number of patients.

    Without patients with ECGs there is no `ecg/`, without subjects with EEGs no `eeg/`. The numbers of patients are
    iterated over by `watch`, which may tell how many are done. With `stimulus` the subjects of EEGs hear speech, see
    `write_eeg`.
    """
    ecg_records = write_ecg(folder / "ecg", ecg_patients, seed, watch=watch) if ecg_patients else 0
    eeg_records = write_eeg(folder / "eeg", eeg_subjects, seed, stimulus=stimulus, watch=watch) if eeg_subjects else 0
    damaged = write_damaged(folder / "ecg" / "damaged", seed) if ecg_patients else []
    return Phantom(
        folder=folder,
        ecg_patients=ecg_patients,
        ecg_records=ecg_records,
        eeg_subjects=eeg_subjects,
        eeg_records=eeg_records,
        damaged=tuple(path.relative_to(folder).as_posix() for path in damaged),
    )


def write_ecg(
    folder: Path,
    patients: int = 120,
    seed: int = 0,
    *,
    duration: float = 10.0,
    sampling_rate: float = 100.0,
    sites: Sequence[Site] = (),
    watch: Watch = iter,
) -> int:
    """Write one to four 12-lead recordings a patient as WFDB (format 16, mV) and `labels.csv`.

    The table's columns: `record` (path without suffix, relative to the table), `patient`, `diagnosis`, `age`, `sex`,
    and `site` where there are sites.

    Args:
        folder: Where to; made if need be.
        patients: Number of patients.
        seed: Random seed.
        duration: Of a recording, s.
        sampling_rate: Hz.
        sites: Hospitals, one of which each patient goes to, whatever she has. Those that change nothing give the
            recordings that there are without sites.
        watch: Iterates over the numbers of the patients.

    Returns:
        The number of records.
    """
    rows: list[Sequence[str | int]] = []
    for number in watch(range(patients)):
        block = np.random.default_rng([seed, 1, number // len(ECG_MIX)]).permutation(len(ECG_MIX))
        diagnosis = ECG_MIX[block[number % len(ECG_MIX)]]
        rng = np.random.default_rng([seed, 2, number])
        patient = ecg.draw_patient(diagnosis, rng)
        # A source of its own: with and without sites, a patient is the same.
        there = np.random.default_rng([seed, 20, number])
        site = sites[int(there.integers(len(sites)))] if sites else None
        code = f"P{number + 1:04d}"
        (folder / code).mkdir(parents=True, exist_ok=True)
        for recording in range(1, 1 + int(rng.choice([1, 2, 3, 4], p=[0.2, 0.3, 0.3, 0.2]))):
            signal = ecg.simulate(ecg.revisit(patient, rng), duration, sampling_rate, rng)
            if site is not None:
                signal = record(signal, sampling_rate, site, there)
            name = f"{code}_r{recording}"
            _write_wfdb(folder / code, name, signal, sampling_rate, patient)
            where = () if site is None else (site.name,)
            rows.append((f"{code}/{name}", code, diagnosis, patient.age, patient.sex, *where))
    columns = ("record", "patient", "diagnosis", "age", "sex", *(("site",) if sites else ()))
    write_csv(folder / "labels.csv", columns, rows)
    return len(rows)


def write_eeg(
    folder: Path,
    subjects: int = 30,
    seed: int = 0,
    *,
    duration: float = 20.0,
    sampling_rate: float = 128.0,
    stimulus: bool = False,
    watch: Watch = iter,
) -> int:
    """Write one to three recordings a subject as EDF (uV, 0.1 uV a step) and `labels.csv`.

    The header's patient field holds the code alone, no name, birth date or sex. The table's columns: `record` (path
    without suffix, relative to the table), `subject`, `group`, `age`, `sex`.

    Args:
        folder: Where to; made if need be.
        subjects: Number of subjects, half of them cases.
        seed: Random seed.
        duration: Of a recording, whole s.
        sampling_rate: Hz.
        stimulus: Whether the subjects hear speech, whose envelope is a further channel, `envelope`, of rms 100.
        watch: Iterates over the numbers of the subjects.

    Returns:
        The number of records.
    """
    rows: list[Sequence[str | int]] = []
    for number in watch(range(subjects)):
        pair = np.random.default_rng([seed, 3, number // 2]).permutation(2)
        group = eeg.GROUPS[pair[number % 2]]
        rng = np.random.default_rng([seed, 4, number])
        subject = eeg.draw_subject(group, rng)
        code = f"S{number + 1:03d}"
        (folder / code).mkdir(parents=True, exist_ok=True)
        for recording in range(1, 1 + int(rng.integers(1, 4))):
            name = f"{code}_r{recording}"
            signal = eeg.simulate(subject, duration, sampling_rate, rng)
            names = [*eeg.CHANNELS, eeg.STIMULUS][: None if stimulus else -1]
            if stimulus:
                signal, envelope = eeg.hear(signal.astype(np.float64), sampling_rate, rng)
                signal = np.vstack([signal, 100 * envelope])
            _write_edf(folder / code / f"{name}.edf", signal, sampling_rate, code, names)
            rows.append((f"{code}/{name}", code, group, subject.age, subject.sex))
    write_csv(folder / "labels.csv", ("record", "subject", "group", "age", "sex"), rows)
    return len(rows)


def write_damaged(folder: Path, seed: int = 0) -> list[Path]:
    """Write what real archives also hold: each of these must be refused, and none may stop a run.

    Returns:
        The files a scan meets: a header whose .dat is missing, one whose .dat ends early, one whose .dat fails its
        checksum (seen only when the signal is read), one that states no samples, text named .hea, an EDF that ends in
        its header.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 5])
    patient = ecg.draw_patient("normal", rng)
    for name in ("missing_dat", "truncated_dat", "wrong_checksum", "no_samples"):
        _write_wfdb(folder, name, ecg.simulate(patient, 10.0, 100.0, rng), 100.0, patient)
    (folder / "missing_dat.dat").unlink()
    whole = (folder / "truncated_dat.dat").read_bytes()
    (folder / "truncated_dat.dat").write_bytes(whole[: len(whole) // 3])
    spoiled = bytearray((folder / "wrong_checksum.dat").read_bytes())
    spoiled[1000] ^= 0x40
    (folder / "wrong_checksum.dat").write_bytes(spoiled)
    header = (folder / "no_samples.hea").read_text()
    (folder / "no_samples.hea").write_text(header.replace(" 1000\n", " 0\n", 1))
    (folder / "no_samples.dat").write_bytes(b"")
    (folder / "letter.hea").write_text("Dear colleague,\nplease find the recordings on the other disk.\n")
    _write_edf(folder / "truncated.edf", np.zeros((19, 128), dtype=np.float32), 128.0, "X")
    (folder / "truncated.edf").write_bytes((folder / "truncated.edf").read_bytes()[:1000])
    return sorted([*folder.glob("*.hea"), *folder.glob("*.edf")])


def _write_wfdb(folder: Path, name: str, signal: Signals, sampling_rate: float, patient: ecg.EcgPatient) -> None:
    """Write one record. wfdb.wrsamp gives the same but takes 50 ms over the header, ten times all the rest."""
    limit = np.iinfo(np.int16).max
    digital = np.clip(np.rint(signal * GAIN), -limit, limit).astype("<i2")
    lines = [f"{name} {len(digital)} {sampling_rate:g} {digital.shape[1]}"]
    for lead, row in zip(ecg.LEADS, digital, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 2**16
        lines.append(f"{name}.dat 16 {GAIN:g}(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += ["# Synthetic recording of no real person", f"# Age: {patient.age}", f"# Sex: {patient.sex}"]
    (folder / f"{name}.dat").write_bytes(digital.T.tobytes())
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def _write_edf(
    path: Path, signal: Signals, sampling_rate: float, code: str, names: Sequence[str] = eeg.CHANNELS
) -> None:
    from edfio import Edf, EdfSignal, Patient, Recording

    physical = (-EDF_RANGE, EDF_RANGE - 2 * EDF_RANGE / 2**16)
    how = {"physical_dimension": "uV", "physical_range": physical}
    channels = [
        EdfSignal(np.clip(row.astype(np.float64), *physical), sampling_rate, label=name, **how)
        for name, row in zip(names, signal, strict=True)
    ]
    Edf(channels, patient=Patient(code=code), recording=Recording(), data_record_duration=1.0).write(path)
