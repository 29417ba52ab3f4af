"""Who comes for pictures of the chest: the same patient, whatever is written of her and in whatever order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medcl.phantom import chest
from medcl.phantom.anatomy import Anatomy
from medcl.phantom.person import Study, draw_person, draw_studies


@dataclass(frozen=True)
class ChestPatient:
    """A patient of a synthetic archive of chests.

    Attributes:
        code: Her name in paths and label tables, from P0001 on.
        finding: Her lesion, one of `chest.LESIONS`.
        anatomy: What there is to be seen, the same in all of her studies.
        studies: Her visits, in order.
        rng: What else is drawn about the CTs of these visits.
    """

    code: str
    finding: str
    anatomy: Anatomy
    studies: tuple[Study, ...]
    rng: np.random.Generator


def draw_chest_patient(number: int, seed: int) -> ChestPatient:
    """A patient, who is the same however many there are.

    Args:
        number: From 0.
        seed: Of the archive.

    Returns:
        The patient.
    """
    finding = draw_finding(chest.LESIONS, number, [seed, 6])
    rng = np.random.default_rng([seed, 7, number])
    anatomy = chest.draw_chest(finding, rng)
    person = draw_person(anatomy.sex, anatomy.age, rng)
    code = f"P{number + 1:04d}"
    studies = draw_studies(person, int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])), f"{seed}/ct/{code}", rng)
    return ChestPatient(code, finding, anatomy, studies, rng)


def draw_finding(kinds: Sequence[str], number: int, seed: Sequence[int]) -> str:
    """The kind of a patient's lesion: of as many patients in a row as there are kinds, each has another one.

    Args:
        kinds: To choose from.
        number: Of the patient, from 0.
        seed: Of the archive.

    Returns:
        One of `kinds`.
    """
    order = np.random.default_rng([*seed, number // len(kinds)]).permutation(len(kinds))
    return kinds[int(order[number % len(kinds)])]
