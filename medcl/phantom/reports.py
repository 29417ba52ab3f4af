"""Reports of synthetic patients: their findings in a physician's words, with invented names and dates."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from medcl.phantom.anatomy import Lesion
from medcl.phantom.ecg import EcgPatient
from medcl.phantom.person import Study

ECG = {
    "en": {
        "normal": (
            "Sinus rhythm. Normal ECG.",
            "Normal sinus rhythm, no abnormality.",
            "Regular rhythm, normal tracing.",
        ),
        "st_elevation": (
            "Sinus rhythm. ST elevation consistent with acute myocardial infarction.",
            "ST segments are elevated, suspicious of acute infarction. Sinus rhythm.",
            "Acute injury pattern with ST elevation.",
        ),
        "bundle_branch_block": (
            "Sinus rhythm. Bundle branch block with broad QRS complexes.",
            "QRS is prolonged by a bundle branch block.",
            "Intraventricular conduction delay: bundle branch block.",
        ),
        "atrial_fibrillation": (
            "Atrial fibrillation, no P waves.",
            "Irregularly irregular rhythm without P waves: atrial fibrillation.",
            "Atrial fibrillation with an irregular ventricular response.",
        ),
    },
    "de": {
        "normal": ("Sinusrhythmus. Normales EKG.", "Regelmäßiger Sinusrhythmus, o.B.", "Unauffälliges EKG."),
        "st_elevation": (
            "Sinusrhythmus. ST-Hebung, V.a. akuten Myokardinfarkt.",
            "ST-Strecken angehoben, vereinbar mit einem akuten Infarkt.",
            "Akutes Infarktbild mit ST-Hebung.",
        ),
        "bundle_branch_block": (
            "Sinusrhythmus. Schenkelblock mit breitem QRS-Komplex.",
            "QRS verbreitert bei Schenkelblock.",
            "Intraventrikuläre Leitungsstörung: Schenkelblock.",
        ),
        "atrial_fibrillation": (
            "Vorhofflimmern ohne P-Wellen.",
            "Absolute Arrhythmie bei Vorhofflimmern.",
            "Vorhofflimmern mit unregelmäßiger Überleitung.",
        ),
    },
}
"""Diagnosis -> what the reader concludes."""

RATE = {"en": "Heart rate {rate} bpm.", "de": "Herzfrequenz ca. {rate}/min."}

LESIONS = {
    "none": ("No {place} mass.", "No focal lesion of the {organ}.", "The {organ} is clear of focal lesions."),
    "smooth": (
        "A smooth, well-defined mass of {size} cm in the {organ}.",
        "There is a {size} cm lesion of the {organ} with smooth margins.",
        "Well-circumscribed round lesion, approx. {size} cm, of the {organ}.",
    ),
    "spiculated": (
        "A spiculated mass of {size} cm in the {organ}.",
        "There is a {size} cm lesion of the {organ} with spiculated margins.",
        "Irregular, spiculated lesion, approx. {size} cm, of the {organ}.",
    ),
    "ring": (
        "A ring-enhancing lesion of {size} cm in the {organ}.",
        "There is a {size} cm lesion of the {organ} with a bright rim and a dark centre.",
        "Rim-enhancing lesion, approx. {size} cm, of the {organ}.",
    ),
}
"""Kind of lesion -> what is found."""

CONCLUSIONS = {
    "none": ("No focal lesion.", "Normal examination.", "No evidence of a tumor."),
    "smooth": ("Smooth mass, probably benign.", "Well-defined lesion; follow-up in 6 months.", "Likely benign mass."),
    "spiculated": (
        "Spiculated mass, suspicious of malignancy.",
        "Malignancy suspected; biopsy.",
        "Probable carcinoma.",
    ),
    "ring": ("Ring lesion: abscess or metastasis.", "Ring-enhancing lesion; abscess vs. tumor.", "Probable abscess."),
}

ORDINARY = {
    "chest": (
        "The heart is of normal size.",
        "No pleural effusion.",
        "The liver is unremarkable.",
        "No pneumothorax.",
        "The spine shows no fracture.",
    ),
    "head": (
        "The ventricles are of normal width.",
        "No midline shift.",
        "No hemorrhage.",
        "Grey and white matter are well differentiated.",
        "The skull is intact.",
    ),
}
"""What is also said, whatever the finding."""

PHYSICIANS = ("Nora Nobody", "Ned Noman", "Nick Nemo", "Nina Niemand")


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
        records: names of the images or recordings that it describes.
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
    patient: EcgPatient, study: Study, rng: np.random.Generator, *, language: str = "en", records: tuple[str, ...] = ()
) -> WrittenReport:
    """Report an ECG in English or German ('en', 'de'): rhythm, rate and diagnosis, in the wording that `rng` draws."""
    conclusion = _one(ECG[language][patient.diagnosis], rng)
    findings = f"{_one(ECG[language][patient.diagnosis], rng)} {RATE[language].format(rate=round(patient.heart_rate))}"
    return _written(study, findings, conclusion, rng, language, records)


def volume_report(
    lesion: Lesion | None, region: str, study: Study, rng: np.random.Generator, *, records: tuple[str, ...] = ()
) -> WrittenReport:
    """Report a CT of the chest or an MR of the head: the lesion, where it is and how large, and what is ordinary.

    The region is 'chest' or 'head', the wording that which `rng` draws.
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
