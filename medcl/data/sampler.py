"""Batches of patients x trials x samples, so that every level of the hierarchy has positives."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.errors import MedclError, UsageError

Ints = NDArray[np.int64]


class HierarchicalSampler:
    """Draws batches as a pure function of (seed, step).

    An epoch visits every patient once, in a new order, `patients` at a time; of each it takes up to `trials` recordings
    and of each of these up to `samples` windows, at random and none twice. The last batch of an epoch is filled up with
    the epoch's first patients, so that all batches have one size.

    A batch in which no patient has several trials would have no positives at the level of the patient. So the patients
    who have are spread over the batches; where there are fewer of them than batches, a batch without gets one of them
    beside its own patients.

    Nothing depends on the codes of the ids, only on the order in which they appear.

    Args:
        patient: (W,) id of the patient of each window.
        trial: (W,) id of the trial of each window, of its patient.
        patients: in a batch; all of them where there are fewer.
        trials: of a patient.
        samples: of a trial.
        seed: of all draws.

    Raises:
        UsageError: if a size is not positive, or the seed is negative.
        MedclError: if there is no window.
    """

    def __init__(self, patient: Ints, trial: Ints, *, patients: int, trials: int, samples: int, seed: int = 0) -> None:
        if min(patients, trials, samples) < 1:
            raise UsageError(
                f"batch: patients, trials and samples must be at least 1, not {patients}, {trials}, {samples}"
            )
        if seed < 0:
            raise UsageError(f"seed {seed}: must not be negative")
        if not len(patient):
            raise MedclError("there is no window to make batches of")
        self.seed, self.trials, self.samples = seed, trials, samples
        patient_number = _by_appearance(patient)
        # Two patients may have trials of one name: a trial is one of its patient.
        trial_number = _by_appearance(patient_number * len(trial) + _by_appearance(trial))
        # Windows sorted by trial, trials sorted by patient: a trial's windows and a patient's trials are slices.
        self._windows = np.argsort(trial_number, kind="stable")
        self._window_start = np.concatenate([[0], np.cumsum(np.bincount(trial_number))])
        patient_of_trial = patient_number[self._windows[self._window_start[:-1]]]
        self._trials = np.argsort(patient_of_trial, kind="stable")
        self._trial_start = np.concatenate([[0], np.cumsum(np.bincount(patient_of_trial))])
        self.n_patients = len(self._trial_start) - 1
        self.patients = min(patients, self.n_patients)
        several = np.diff(self._trial_start) > 1
        self._several = several if trials > 1 else np.zeros_like(several)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.n_patients // self.patients)

    def batches(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> Iterator[list[int]]:
        """The batches of the steps start to stop - 1, as lists of window numbers.

        Several processes share each batch: whole patients go to one process, the first patients of the batch to the
        first, so that their batches in a row are the batch of one process. A batch, and with it the recipe, is the same
        for any number of processes, and what is positive at a level of the hierarchy stays together.

        Args:
            start: first step, counted over all epochs.
            stop: the step after the last.
            rank: of this process.
            world: processes that share a batch.

        Raises:
            UsageError: if there are more processes than patients in a batch.
        """
        check_shares(world, self.patients)
        for by_patient in self.by_patient(start, stop):
            batch: list[int] = np.concatenate(share_of(by_patient, rank, world)).tolist()
            yield batch

    def by_patient(self, start: int, stop: int) -> Iterator[list[Ints]]:
        """The whole batches of the steps start to stop - 1, as the window numbers of each patient.

        Args:
            start: first step, counted over all epochs.
            stop: the step after the last.
        """
        epoch, groups = -1, []
        for step in range(start, stop):
            if step // len(self) != epoch:
                epoch = step // len(self)
                groups = self._epoch(epoch)
            yield self._batch(groups[step % len(self)], np.random.default_rng([self.seed, 1, step]))

    def _epoch(self, epoch: int) -> list[Ints]:
        """The patients of each batch."""
        rng = np.random.default_rng([self.seed, 0, epoch])
        order = _spread(rng.permutation(self.n_patients), self._several, self.patients)
        groups = np.split(order, range(self.patients, self.n_patients, self.patients))
        groups[-1] = np.append(groups[-1], order[: self.patients - len(groups[-1])])
        if not self._several.any():
            return groups
        extra = rng.choice(np.flatnonzero(self._several), len(groups))
        return [
            group if self._several[group].any() else np.append(group, one)
            for group, one in zip(groups, extra, strict=True)
        ]

    def _batch(self, patients: Ints, rng: np.random.Generator) -> list[Ints]:
        """The windows of each patient."""
        by_patient = []
        for patient in patients:
            trials = self._trials[self._trial_start[patient] : self._trial_start[patient + 1]]
            picked = []
            for trial in _some(trials, self.trials, rng):
                windows = self._windows[self._window_start[trial] : self._window_start[trial + 1]]
                picked.append(_some(windows, self.samples, rng))
            by_patient.append(np.concatenate(picked))
        return by_patient


def check_shares(world: int, patients: int) -> None:
    """Refuse more processes than there are patients in a batch.

    Raises:
        UsageError: if there are.
    """
    if world > patients:
        raise UsageError(f"{world} devices share a batch of {patients} patients: each needs one, raise batch.patients")


def share_of(by_patient: list[Ints], rank: int, world: int) -> list[Ints]:
    """The patients of a batch that one of several processes takes."""
    # array_split would turn the windows into one array, were there as many of each patient.
    return [by_patient[patient] for patient in np.array_split(np.arange(len(by_patient)), world)[rank]]


def _spread(order: Ints, several: NDArray[np.bool_], size: int) -> Ints:
    """Give each `size` patients one of several trials, as far as there are, by exchanges with those that have more.

    Args:
        order: (P,) patients in random order.
        several: (P,) whether a patient has several trials.
        size: of a batch.
    """
    batch, place = np.arange(len(order)) // size, np.flatnonzero(several[order])
    _, first = np.unique(batch[place], return_index=True)
    spare = np.delete(place, first)
    without = np.setdiff1d(np.arange(batch[-1] + 1), batch[place]) * size
    # Spare ones from the back, so that they do not all come from the first batches, which are asked first.
    spare = spare[::-1][: len(without)]
    without = without[: len(spare)]
    exchanged = order.copy()
    exchanged[spare], exchanged[without] = order[without], order[spare]
    return exchanged


def _some(values: Ints, most: int, rng: np.random.Generator) -> Ints:
    return values if len(values) <= most else rng.choice(values, most, replace=False)


def _by_appearance(ids: Ints) -> Ints:
    """Number ids by their first appearance, (W,)."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
