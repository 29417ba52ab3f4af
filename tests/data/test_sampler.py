"""Batches of patients x trials x samples: what a contrastive loss relies on."""

import time
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.data.sampler import Sampler
from medcl.errors import MedclError, UsageError


def archive(trials_of_patient: list[int], windows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Ids of every window of patients with so many trials each."""
    patient = np.repeat(np.arange(len(trials_of_patient)), np.array(trials_of_patient) * windows)
    trial = np.repeat(np.arange(sum(trials_of_patient)), windows)
    return patient * 1000 + 7, trial * 31 + 5


archives = st.lists(st.integers(1, 4), min_size=1, max_size=30)


@given(archives, st.integers(1, 8), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_an_epoch_visits_every_patient_and_no_window_twice_a_batch(trials: list[int], p: int, t: int, s: int) -> None:
    patient, trial = archive(trials)
    sampler = Sampler(patient, trial, patients=p, records=t, samples=s, seed=3)
    batches = list(sampler.batches(0, len(sampler)))
    assert set(patient[list(chain(*batches))]) == set(patient)
    for batch in batches:
        assert len(set(batch)) == len(batch)
        for own in {patient[window] for window in batch}:
            of_patient = [window for window in batch if patient[window] == own]
            counts = np.unique(trial[of_patient], return_counts=True)[1]
            assert len(counts) <= t
            assert (counts == min(s, 3)).all()


@given(archives, st.integers(1, 8), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_patients_come_again_only_to_fill_up_a_batch(trials: list[int], p: int, t: int) -> None:
    patient, trial = archive(trials)
    sampler = Sampler(patient, trial, patients=p, records=t, samples=1)
    visits = [set(patient[batch]) for batch in sampler.batches(0, len(sampler))]
    again = sum(map(len, visits)) - len(trials)
    filled = len(sampler) * sampler.patients - len(trials)
    without = max(0, len(sampler) - sum(n > 1 for n in trials)) if t > 1 and max(trials) > 1 else 0
    assert again <= filled + without
    assert all(len(own) >= sampler.patients for own in visits)


def test_positives_exist_at_every_level() -> None:
    patient, trial = archive([2, 3, 1, 1, 2, 4, 1, 1, 1])
    for batch in Sampler(patient, trial, patients=3, records=2, samples=2).batches(0, 30):
        assert len(set(patient[batch])) >= 3
        assert max(np.unique(trial[batch], return_counts=True)[1]) == 2
        assert any(len(set(trial[batch][patient[batch] == own])) == 2 for own in set(patient[batch]))


def test_trials_of_one_name_are_their_patients_own() -> None:
    patient, trial = np.repeat([5, 3], 6), np.tile(np.repeat([0, 1], 3), 2)
    batch = next(Sampler(patient, trial, patients=2, records=2, samples=3).batches(0, 1))
    assert sorted(batch) == list(range(12))


def test_a_million_windows_are_ready_in_seconds() -> None:
    patient = np.repeat(np.random.default_rng(0).permutation(20_000), 50)
    trial = np.arange(1_000_000) // 25
    start = time.perf_counter()
    sampler = Sampler(patient, trial, patients=32, records=2, samples=4)
    ready = time.perf_counter()
    batches = list(sampler.batches(123_400, 123_500))
    assert {len(batch) for batch in batches} == {32 * 2 * 4}
    assert ready - start < 10
    assert time.perf_counter() - ready < 10


@given(archives.filter(lambda trials: max(trials) > 1), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_every_batch_has_two_trials_of_one_patient_where_any_patient_has(trials: list[int], p: int) -> None:
    patient, trial = archive(trials)
    for batch in Sampler(patient, trial, patients=p, records=2, samples=2).batches(0, 20):
        pairs = {(patient[window], trial[window]) for window in batch}
        assert len(pairs) > len({own for own, _ in pairs})


def test_a_batch_depends_on_seed_and_step_only() -> None:
    patient, trial = archive([1, 3, 2, 4, 1, 1, 2])
    make = lambda seed: Sampler(patient, trial, patients=2, records=2, samples=2, seed=seed)  # noqa: E731
    whole = list(make(0).batches(0, 12))
    assert list(make(0).batches(5, 12)) == whole[5:]
    assert list(make(1).batches(0, 12)) != whole
    assert whole[: len(make(0))] != whole[len(make(0)) : 2 * len(make(0))]


def test_recoded_ids_give_the_same_batches() -> None:
    patient, trial = archive([2, 1, 3, 1])
    recoded = Sampler(-patient, 10**15 - trial, patients=2, records=2, samples=1)
    assert list(recoded.batches(0, 6)) == list(Sampler(patient, trial, patients=2, records=2, samples=1).batches(0, 6))


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, -2)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int, int]) -> None:
    patient, trial = archive([1, 1])
    with pytest.raises(UsageError, match="at least 1"):
        Sampler(patient, trial, patients=sizes[0], records=sizes[1], samples=sizes[2])


def test_no_window_and_a_negative_seed_are_refused() -> None:
    patient, trial = archive([1, 1])
    with pytest.raises(UsageError, match="seed -1"):
        Sampler(patient, trial, patients=1, records=1, samples=1, seed=-1)
    with pytest.raises(MedclError, match="no sample"):
        Sampler(patient[:0], trial[:0], patients=1, records=1, samples=1)


def test_processes_divide_a_batch_by_whole_patients() -> None:
    patient, trial = archive([2, 1, 3, 1, 2, 2, 1])
    sampler = Sampler(patient, trial, patients=5, records=2, samples=2)
    alone = list(sampler.batches(0, 6))
    for world in (2, 3, 5):
        ranks = [list(sampler.batches(0, 6, rank=rank, world=world)) for rank in range(world)]
        assert [sum(parts, []) for parts in zip(*ranks, strict=True)] == alone
        for parts in zip(*ranks, strict=True):
            owners = [set(patient[part]) for part in parts]
            # A patient comes twice only where an epoch's last batch is filled up with its first patients.
            assert sum(map(len, owners)) == len(set.union(*owners))
    with pytest.raises(UsageError, match=r"raise batch.patients"):
        next(sampler.batches(0, 1, rank=0, world=6))


@given(archives, st.integers(1, 8), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_batch_of_one_source_has_no_other_and_an_epoch_has_everybody(
    trials: list[int], p: int, t: int, sites: int
) -> None:
    patient, trial = archive(trials)
    site = (patient // 1000) % sites
    sampler = Sampler(patient, trial, patients=p, records=t, samples=1, seed=5, source=site)
    batches = list(sampler.batches(0, len(sampler)))
    assert all(len(set(site[batch])) == 1 for batch in batches)
    assert set(patient[list(chain(*batches))]) == set(patient)
    sizes = np.bincount(np.arange(len(trials)) % sites)
    assert len(batches) == sum(-(-int(size) // sampler.patients) for size in sizes if size)


def test_where_all_are_of_one_source_nothing_changes() -> None:
    patient, trial = archive([2, 1, 3, 1, 1, 2, 4])
    plain = Sampler(patient, trial, patients=3, records=2, samples=2, seed=1)
    one = Sampler(patient, trial, patients=3, records=2, samples=2, seed=1, source=np.full(len(patient), 9))
    assert list(plain.batches(0, 9)) == list(one.batches(0, 9))


def test_sources_go_without_reuse() -> None:
    patient, trial = archive([1, 1])
    with pytest.raises(UsageError, match="without reuse"):
        Sampler(patient, trial, patients=1, records=1, samples=1, reuse=2, source=patient)


@given(archives, st.integers(1, 8), st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_some_patients_come_several_times_an_epoch_and_never_twice_a_batch(
    trials: list[int], p: int, times: int, sites: int
) -> None:
    patient, trial = archive(trials, windows=1)
    number = patient // 1000
    repeat = np.where(number % 2 == 0, times, 1)
    sampler = Sampler(patient, trial, patients=p, records=1, samples=1, seed=2, source=number % sites, repeat=repeat)
    batches = list(sampler.batches(0, len(sampler)))
    assert all(len(set(patient[batch])) == len(batch) for batch in batches)
    visits = np.bincount(number[list(chain(*batches))], minlength=len(trials))
    wanted = np.where(np.arange(len(trials)) % 2 == 0, times, 1)
    assert (visits >= wanted).all()
    # More than asked for only to fill up batches, one a turn and source.
    assert visits.sum() - wanted.sum() <= len(batches) * sampler.patients - wanted.sum()
    assert list(sampler.batches(3, 5)) == list(sampler.batches(0, 5))[3:]


def test_real_patients_make_up_the_share_of_a_batch_that_is_asked_for() -> None:
    number = np.arange(440)
    sampler = Sampler(number, number, patients=80, records=1, samples=1, repeat=np.where(number < 40, 10, 1))
    batches = list(sampler.batches(0, len(sampler)))
    assert len(batches) == 10
    assert all((np.array(batch) < 40).sum() == 40 for batch in batches)
    assert sorted(set(chain(*batches))) == list(range(440))


def test_patients_who_come_once_each_are_drawn_as_without() -> None:
    patient, trial = archive([2, 1, 3, 1, 1, 2, 4])
    plain = Sampler(patient, trial, patients=3, records=2, samples=2, seed=1)
    once = Sampler(patient, trial, patients=3, records=2, samples=2, seed=1, repeat=np.ones(len(patient), np.int64))
    assert list(plain.batches(0, 9)) == list(once.batches(0, 9))


def test_no_repetition_below_one_and_none_with_reuse() -> None:
    patient, trial = archive([1, 1])
    for options in ({"repeat": 0 * patient}, {"repeat": 0 * patient + 1, "reuse": 2}):
        with pytest.raises(UsageError, match="repeat"):
            Sampler(patient, trial, patients=1, records=1, samples=1, **options)
