"""Batches of patients x records x samples, so that every level has positives: the same for any number of workers."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from medcl.archive.stratify import first_appearance
from medcl.errors import MedclError, UsageError

Ints = NDArray[np.int64]
_TRIES = 50
"""Draws after which a buffer is shuffled by whole batches: a patient who fills up an epoch's last batch came before."""


class Drawable(Protocol):
    """Records that samples are drawn from: `VolumePatches`, `Pairs`."""

    @property
    def patients(self) -> Ints:
        """(R,) id of the patient of each."""

    @property
    def units(self) -> Ints:
        """(R,) id of each."""

    def draw(self, number: int, count: int, *, seed: int, step: int, partitions: int = 1) -> list[Any]:
        """Samples of one, as a function of all arguments."""


class Sampler:
    """Draws batches as a pure function of (seed, step).

    An epoch visits every patient once, in a new order, `patients` at a time; of each it takes up to `records` records
    and of each of these up to `samples` samples, at random and none twice. The last batch of an epoch is filled up with
    the epoch's first patients, so that all batches have one size.

    A batch in which no patient has several records would have no positives at the level of the patient. So the patients
    who have are spread over the batches; where there are fewer of them than batches, a batch without gets one of them
    beside its own patients. Nothing depends on the codes of the ids, only on the order in which they appear.

    Args:
        patient: (S,) id of the patient of each sample; where samples are drawn, (R,) of each record.
        record: (S,) or (R,) id of the record, of its patient.
        patients: in a batch; all of them where there are fewer.
        records: of a patient.
        samples: of a record.
        draw: `draw(number, count, step)` draws samples of a record, where these are not counted: crops of a volume, one
            of the linked partners; `patient` and `record` are then those of whole records.
        seed: of all draws.
        reuse: number of batches that a record is in, each time with other draws and other patients, before the next
            records come: what was read from a slow disk is still in memory. An epoch has as many times more batches.
        buffer: batches whose patients are shuffled among each other each time; fewer at the end of an epoch.
        source: (S,) or (R,) where each patient comes from: every batch is of one source, so that no negative is
            recognised by how its site records or words things (ZeroVL, Cui et al., ECCV 2022). Each source has as many
            batches as its patients fill, which is in proportion to its size; one of fewer patients than a batch has
            gives smaller batches. A patient of several sources is of that of the first sample.
        repeat: (S,) or (R,) how many times an epoch has each patient; more than 1 weighs real patients more than
            synthetic ones (AdaInf). An epoch then has as many turns as the largest of them, in each of which nobody
            comes twice: a batch has no more patients than a turn. That of the first sample counts.

    Raises:
        UsageError: if a number is not positive, the seed is negative, or sources or `repeat` go with `reuse`.
        MedclError: if there is no sample.
    """

    def __init__(
        self,
        patient: Ints,
        record: Ints,
        *,
        patients: int,
        records: int,
        samples: int,
        draw: Callable[[int, int, int], list[Any]] | None = None,
        seed: int = 0,
        reuse: int = 1,
        buffer: int = 8,
        source: Ints | None = None,
        repeat: Ints | None = None,
    ) -> None:
        if min(patients, records, samples) < 1:
            raise UsageError(
                f"batch: patients, records and samples must be at least 1, not {patients}, {records}, {samples}"
            )
        if min(reuse, buffer) < 1:
            raise UsageError(f"batch: reuse and buffer must be at least 1, not {reuse}, {buffer}")
        if seed < 0:
            raise UsageError(f"seed {seed}: must not be negative")
        if not len(patient):
            raise MedclError("there is no sample to make batches of")
        self.seed, self.records, self.samples, self.reuse, self.buffer = seed, records, samples, reuse, buffer
        self._draw, self._patient = draw, patient
        self._epochs = 0
        patient_number = first_appearance(patient)[0]
        # Two patients may have records of one name: a record is one of its patient.
        record_number = first_appearance(patient_number * len(record) + first_appearance(record)[0])[0]
        # Samples sorted by record, records sorted by patient: a record's samples and a patient's records are slices.
        self._samples = np.argsort(record_number, kind="stable")
        self._sample_start = np.concatenate([[0], np.cumsum(np.bincount(record_number))])
        patient_of_record = patient_number[self._samples[self._sample_start[:-1]]]
        self._records = np.argsort(patient_of_record, kind="stable")
        self._record_start = np.concatenate([[0], np.cumsum(np.bincount(patient_of_record))])
        self.n_patients = len(self._record_start) - 1
        if not (source is None and repeat is None) and reuse > 1:
            raise UsageError("batch: sources (source) and patients that repeat (repeat) go without reuse")
        # Patients are numbered as they appear.
        first = np.unique(patient_number, return_index=True)[1]
        of_patient = np.zeros(self.n_patients, np.int64) if source is None else np.asarray(source)[first]
        self._sources = [np.flatnonzero(of_patient == one) for one in np.unique(of_patient)]
        self._times = np.ones(self.n_patients, np.int64) if repeat is None else np.asarray(repeat)[first]
        if self._times.min() < 1:
            raise UsageError(f"batch.repeat: every patient comes at least once, not {self._times.min()} times")
        self._turns = int(self._times.max())
        self.patients = min(patients, int(self._times.sum()) // self._turns)
        several = np.diff(self._record_start) > 1
        self._several = several if records > 1 else np.zeros_like(several)
        visits = [int(self._times[own].sum()) for own in self._sources]
        turns = [len(range(turn, all_of, self._turns)) for all_of in visits for turn in range(self._turns)]
        self._n_groups = sum(-(-size // self.patients) for size in turns)

    @classmethod
    def drawing(
        cls,
        units: Drawable,
        *,
        patients: int,
        records: int,
        samples: int = 1,
        partitions: int = 1,
        seed: int = 0,
        reuse: int = 1,
        buffer: int = 8,
        source: Ints | None = None,
        repeat: Ints | None = None,
    ) -> Self:
        """A sampler of what is drawn from records: patches of volumes, or linked records with their partners.

        Arguments are those of the class, and the `partitions` of a volume, see `VolumePatches.draw`.
        """
        if partitions < 1:
            raise UsageError(f"batch: partitions must be at least 1, not {partitions}")

        def draw(number: int, count: int, step: int) -> list[Any]:
            return units.draw(number, count, seed=seed, step=step, partitions=partitions)

        sizes: dict[str, Any] = {"patients": patients, "records": records, "samples": samples}
        whole: dict[str, Any] = {"draw": draw, "seed": seed, "reuse": reuse, "buffer": buffer}
        return cls(units.patients, units.units, **sizes, **whole, source=source, repeat=repeat)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._n_groups * self.reuse

    def __iter__(self) -> Iterator[list[Any]]:
        """The batches of the next epoch, so that it serves as `batch_sampler` of a torch DataLoader."""
        self._epochs += 1
        yield from self.batches((self._epochs - 1) * len(self), self._epochs * len(self))

    def batches(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> Iterator[list[Any]]:
        """The batches of the steps start to stop - 1, as lists of sample numbers, or of what was drawn.

        Steps are counted over all epochs. Of `world` processes that share each batch, whole patients go to one, the
        first to the first, so that their batches in a row are that of one process: it is the same for any number of
        processes, and what is positive at a level stays together.

        Raises:
            UsageError: if there are more processes than patients in a batch.
        """
        if world > self.patients:
            raise UsageError(
                f"{world} devices share a batch of {self.patients} patients: each needs one, raise batch.patients"
            )
        for step, by_patient in zip(range(start, stop), self._by_patient(start, stop), strict=True):
            # array_split would turn the samples into one array, were there as many of each patient.
            share = [by_patient[one] for one in np.array_split(np.arange(len(by_patient)), world)[rank]]
            numbers: list[int] = np.concatenate(share).tolist()
            if self._draw is None:
                yield numbers
            else:
                # Each record has its own draws: they are the same whichever process makes them.
                yield [one for number in numbers for one in self._draw(number, self.samples, step)]

    def _by_patient(self, start: int, stop: int) -> Iterator[list[Ints]]:
        """The samples or records of each patient of the batches of some steps."""
        if self.reuse == 1:
            yield from self._in_turn(start, stop)
            return
        shuffled, now = [], (-1, -1, -1)
        for step in range(start, stop):
            epoch, place = divmod(step, len(self))
            # The buffers of an epoch are apart: nobody comes twice in one, but whom the last batch is filled up with.
            first = place // (self.buffer * self.reuse) * self.buffer
            count = min(self.buffer, self._n_groups - first)
            turn, place = divmod(place - first * self.reuse, count)
            if now != (epoch, first, turn):
                now = epoch, first, turn
                begin = epoch * self._n_groups + first
                held = list(self._in_turn(begin, begin + count))
                shuffled = self._shuffled(held, np.random.default_rng([self.seed, 3, *now]))
            yield shuffled[place]

    def _in_turn(self, start: int, stop: int) -> Iterator[list[Ints]]:
        """As `_by_patient`, every record once an epoch."""
        epoch, groups = -1, []
        for step in range(start, stop):
            if step // self._n_groups != epoch:
                epoch = step // self._n_groups
                groups = self._epoch(epoch)
            yield self._batch(groups[step % self._n_groups], np.random.default_rng([self.seed, 1, step]))

    def _epoch(self, epoch: int) -> list[Ints]:
        """The patients of each batch."""
        rng = np.random.default_rng([self.seed, 0, epoch])
        turns = [turn for own in self._sources for turn in self._in_turns(rng.permutation(own), rng)]
        every = [group for turn in turns for group in self._groups(turn, rng)]
        return every if len(self._sources) == 1 else [every[one] for one in rng.permutation(len(every))]

    def _in_turns(self, order: Ints, rng: np.random.Generator) -> list[Ints]:
        """Patients in an order, as often as they come, each once a turn at most."""
        if self._turns == 1:
            return [order]
        visits = np.repeat(order, self._times[order])
        return [rng.permutation(visits[turn :: self._turns]) for turn in range(min(self._turns, len(visits)))]

    def _groups(self, order: Ints, rng: np.random.Generator) -> list[Ints]:
        """Patients in an order, cut into batches."""
        size = min(self.patients, len(order))
        order = _spread(order, self._several, size)
        groups = np.split(order, range(size, len(order), size))
        groups[-1] = np.append(groups[-1], order[: size - len(groups[-1])])
        several = order[self._several[order]]
        if not len(several):
            return groups
        extra = rng.choice(np.sort(several), len(groups))
        return [
            group if self._several[group].any() else np.append(group, one)
            for group, one in zip(groups, extra, strict=True)
        ]

    def _batch(self, patients: Ints, rng: np.random.Generator) -> list[Ints]:
        """The samples of each patient, or the records that samples are drawn of."""
        most = self.samples if self._draw is None else 1
        by_patient = []
        for patient in patients:
            records = self._records[self._record_start[patient] : self._record_start[patient + 1]]
            picked = []
            for record in _some(records, self.records, rng):
                samples = self._samples[self._sample_start[record] : self._sample_start[record + 1]]
                picked.append(_some(samples, most, rng))
            by_patient.append(np.concatenate(picked))
        return by_patient

    def _shuffled(self, batches: list[list[Ints]], rng: np.random.Generator) -> list[list[Ints]]:
        """Exchange the patients of some batches.

        Those who have several records exchange places with each other, and so do the others: every batch keeps as many
        of either kind. Where nobody comes twice in a batch, nobody does afterwards.
        """
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        patients = [records for batch in batches for records in batch]
        several = np.array([len(records) > 1 for records in patients])
        codes = self._patient[[records[0] for records in patients]]
        place = np.arange(len(patients))
        for _ in range(_TRIES):
            for kind in (several, ~several):
                place[kind] = rng.permutation(np.flatnonzero(kind))
            if all(len(np.unique(batch)) == len(batch) for batch in np.split(codes[place], ends)):
                return [[patients[one] for one in batch] for batch in np.split(place, ends)]
        return [batches[one] for one in rng.permutation(len(batches))]


def _spread(order: Ints, several: NDArray[np.bool_], size: int) -> Ints:
    """Give each `size` patients one of several records, as far as there are, by exchanges with those that have more."""
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
