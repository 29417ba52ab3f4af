"""Batches of patients x trials x samples, so that every level of the hierarchy has positives."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError

Ints = NDArray[np.int64]


class HierarchicalSampler:
    """Draws batches as a pure function of (seed, step).

    An epoch visits every patient once, in a new order, `patients` at a time; of each it takes up to `trials` recordings and of each of these up
    to `samples` windows, at random and none twice. Where few patients have several recordings, a batch may hold none of them, and so no pair
    of trials of one patient: it then gets one of them as an extra patient. Nothing depends on the codes of the ids, only on the order in which
    they appear.

    Args:
        patient: (W,) id of the patient of each window.
        trial: (W,) id of the trial of each window.
        patients: in a batch; all of them where there are fewer.
        trials: of a patient.
        samples: of a trial.
        seed: of all draws.

    Raises:
        UsageError: if a size is not positive.
    """

    def __init__(self, patient: Ints, trial: Ints, *, patients: int, trials: int, samples: int, seed: int = 0) -> None:
        if min(patients, trials, samples) < 1:
            raise UsageError(f"batch: patients, trials and samples must be at least 1, not {patients}, {trials}, {samples}")
        self.seed, self.trials, self.samples = seed, trials, samples
        trial_number = _by_appearance(trial)
        # Windows sorted by trial, trials sorted by patient: a trial's windows and a patient's trials are slices.
        self._windows = np.argsort(trial_number, kind="stable")
        self._window_start = np.concatenate([[0], np.cumsum(np.bincount(trial_number))])
        patient_of_trial = _by_appearance(patient)[self._windows[self._window_start[:-1]]]
        self._trials = np.argsort(patient_of_trial, kind="stable")
        self._trial_start = np.concatenate([[0], np.cumsum(np.bincount(patient_of_trial))])
        self.n_patients = len(self._trial_start) - 1
        self.patients = min(patients, self.n_patients)
        self._several = np.flatnonzero(np.diff(self._trial_start) > 1) if trials > 1 else np.arange(0)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.n_patients // self.patients)

    def batches(self, start: int, stop: int, stride: int = 1) -> Iterator[list[int]]:
        """The batches of the steps start, start + stride, ... below stop, as lists of window numbers.

        Args:
            start: first step, counted over all epochs.
            stop: the step after the last.
            stride: every how many steps; with several processes each takes its own.
        """
        epoch, groups = -1, []
        for step in range(start, stop, stride):
            if step // len(self) != epoch:
                epoch = step // len(self)
                groups = self._epoch(epoch)
            yield self._batch(groups[step % len(self)], np.random.default_rng([self.seed, 1, step]))

    def _epoch(self, epoch: int) -> list[Ints]:
        rng = np.random.default_rng([self.seed, 0, epoch])
        order = rng.permutation(self.n_patients)
        missing = len(self) * self.patients - len(order)
        # The last batch is filled up with patients from the front, so that every batch has the same size.
        groups = np.concatenate([order, order[:missing]]).reshape(len(self), self.patients)
        if not len(self._several):
            return list(groups)
        bare = np.asarray(~np.isin(groups, self._several).any(axis=1))
        return [np.append(group, rng.choice(self._several)) if lacks else group for group, lacks in zip(groups, bare, strict=True)]

    def _batch(self, patients: Ints, rng: np.random.Generator) -> list[int]:
        picked: list[int] = []
        for patient in patients:
            trials = self._trials[self._trial_start[patient] : self._trial_start[patient + 1]]
            for trial in _some(trials, self.trials, rng):
                windows = self._windows[self._window_start[trial] : self._window_start[trial + 1]]
                picked.extend(int(window) for window in _some(windows, self.samples, rng))
        return picked


def _some(values: Ints, most: int, rng: np.random.Generator) -> Ints:
    return values if len(values) <= most else rng.choice(values, most, replace=False)


def _by_appearance(ids: Ints) -> Ints:
    """Number ids by their first appearance, (W,)."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
