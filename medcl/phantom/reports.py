"""Reports of synthetic patients: what is known of them in a physician's words, with names and dates of nobody."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from medcl.phantom.ecg import EcgPatient
from medcl.phantom.lesion import Lesion
from medcl.phantom.person import Study
from medcl.phantom.report_wording import CONCLUSIONS, ECG, LESIONS, ORDINARY, PHYSICIANS, RATE

_ORGANS = {"right_lung": "right lung", "left_lung": "left lung", "white_matter": "white matter"}
_EMPTY = {"chest": "lung", "head": "brain"}
_HEADINGS = {
    "en": ("HISTORY", "COMPARISON", "FINDINGS", "IMPRESSION"),
    "de": ("ANAMNESE", "VERGLEICH", "BEFUND", "BEURTEILUNG"),
}


@dataclass(frozen=True)
class WrittenReport:
    """A report as its author wrote it: names and dates included, so that de-identification has something to do.

    Attributes:
        study: what it reports on, and whose it is.
        sections: heading in upper case -> body.
        private: the names, dates and numbers of the person that stand in the bodies.
        records: names of the pictures or recordings that it describes.
    """

    study: Study
    sections: dict[str, str]
    private: tuple[str, ...]
    records: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        """The report as a text file holds it."""
        return "\n\n".join(f"{heading}:\n{body}" for heading, body in self.sections.items()) + "\n"


def ecg_report(
    patient: EcgPatient,
    study: Study,
    rng: np.random.Generator,
    *,
    language: str = "en",
    records: tuple[str, ...] = (),
) -> WrittenReport:
    """Report an ECG: rhythm, rate and diagnosis.

    Args:
        patient: what is to be seen.
        study: whose it is and when it was recorded.
        rng: source of the wording; the same state gives the same words.
        language: 'en' or 'de'.
        records: names of the recordings.

    Returns:
        The report.
    """
    conclusion = _one(ECG[language][patient.diagnosis], rng)
    findings = f"{_one(ECG[language][patient.diagnosis], rng)} {RATE[language].format(rate=round(patient.heart_rate))}"
    return _written(study, findings, conclusion, rng, language, records)


def volume_report(
    lesion: Lesion | None,
    region: str,
    study: Study,
    rng: np.random.Generator,
    *,
    records: tuple[str, ...] = (),
) -> WrittenReport:
    """Report a CT of the chest or an MR of the head: the lesion, where it is and how large, and what is ordinary.

    Args:
        lesion: of the patient's anatomy, None without one.
        region: 'chest' or 'head'.
        study: whose it is and when it was done.
        rng: source of the wording; the same state gives the same words.
        records: names of the series.

    Returns:
        The report, in English.
    """
    kind = "none" if lesion is None else lesion.kind
    organ = _EMPTY[region] if lesion is None else _ORGANS.get(lesion.host, lesion.host.replace("_", " "))
    size = 0.0 if lesion is None else lesion.radius / 5  # diameter in cm
    found = _one(LESIONS[kind], rng).format(place=_EMPTY[region], organ=organ, size=f"{size:.1f}")
    others = rng.permutation(ORDINARY[region])[: int(rng.integers(2, 5))]
    lines = [*(str(other) for other in others)]
    lines.insert(int(rng.integers(len(lines) + 1)), found)
    return _written(study, " ".join(lines), _one(CONCLUSIONS[kind], rng), rng, "en", records)


def _one(wordings: tuple[str, ...], rng: np.random.Generator) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _written(
    study: Study, findings: str, conclusion: str, rng: np.random.Generator, language: str, records: tuple[str, ...]
) -> WrittenReport:
    family, given = study.person.name.split("^")
    physician = _one(PHYSICIANS, rng)
    earlier = study.day - timedelta(days=int(rng.integers(30, 900)))
    woman = study.person.sex == "F"
    if language == "de":
        before, day = f"{earlier:%d.%m.%Y}", f"{study.day:%d.%m.%Y}"
        history = f"{'Frau' if woman else 'Herr'} {given} {family}, {study.age} Jahre, MRN {study.person.number}."
        comparison = _one((f"Voraufnahme vom {before}.", "Keine Voraufnahmen."), rng)
        signature = f"Befundet von Dr. {physician} am {day}."
    else:
        before, day = f"{earlier:%m/%d/%Y}", f"{study.day:%m/%d/%Y}"
        title = "Mrs." if woman else "Mr."
        history = f"{title} {given} {family} is {study.age} years old, MRN {study.person.number}."
        comparison = _one((f"Prior study of {before}.", "None."), rng)
        signature = f"Dictated by {physician}, MD on {day}."
    bodies = (history, comparison, findings, f"{conclusion} {signature}")
    private = (given, family, study.person.number, physician, before, day)
    text = " ".join(bodies)
    stated = tuple(one for one in private if one in text)
    return WrittenReport(study, dict(zip(_HEADINGS[language], bodies, strict=True)), stated, records)
