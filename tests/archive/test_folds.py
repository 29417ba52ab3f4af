"""Folds of the patients: each is tested once, and nobody is chosen by who is tested."""

import numpy as np
import pytest

from medcl.archive.folds import HELD_OUT, fold_of, held_out


@pytest.mark.parametrize("count", [2, 3, 5])
def test_patients_are_tested_as_a_whole_in_folds_of_equal_size(count: int) -> None:
    patients = np.random.default_rng(1).permutation(np.repeat(np.arange(20) * 7, 3))
    fold = fold_of(patients, count)
    of_patient = [np.unique(fold[patients == one]) for one in np.unique(patients)]
    assert all(len(one) == 1 for one in of_patient)
    sizes = np.bincount(np.concatenate(of_patient), minlength=count)
    assert sizes.max() - sizes.min() <= 1


def test_folds_do_not_depend_on_how_patients_are_coded() -> None:
    patients = np.random.default_rng(1).integers(0, 12, 50)
    coded = np.random.default_rng(2).permutation(1000)[patients]
    assert (fold_of(patients, 3) == fold_of(coded, 3)).all()
    assert (held_out(patients, 1) == held_out(coded, 1)).all()


def test_a_quarter_of_the_patients_is_held_out_as_a_whole_and_others_in_every_fold() -> None:
    patients = np.repeat(np.arange(40), 2)
    held = [held_out(patients, fold) for fold in range(3)]
    for one in held:
        assert len(np.unique(patients[one])) == HELD_OUT * 40
        assert not set(patients[one]) & set(patients[~one])
    assert not (held[0] == held[1]).all()
