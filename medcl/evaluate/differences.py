"""Which phrases tell one set of an archive's records from another, by the similarity of the records with each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.evaluate.multimodal_space import MultimodalRun, embed_kind, embed_texts, tokenizer_of
from medcl.modality import WINGS, plural
from medcl.modality.report.config import TextConfig
from medcl.modality.report.text import draws, text_code
from medcl.networks.multimodal import REPORT
from medcl.stats.ranking import Bools, Floats
from medcl.stats.retrieval import Ints
from medcl.stats.set_differences import LEAST, Separation, aurocs, separations

Condition = tuple[str, str]
"""A column of the manifest and one of its values."""


@dataclass(frozen=True)
class Difference:
    """A phrase that tells the two sets apart, or not.

    Args:
        phrase: the words.
        separation: of the patients that the phrase was not chosen by.
    """

    phrase: str
    separation: Separation


@dataclass(frozen=True)
class Differences:
    """What was compared, and what tells it apart.

    Args:
        found: the phrases, the highest AUROC first.
        patients: those of the first and of the second set by whom phrases are ranked.
        both: patients with records in both sets, who are left out.
        proposed: number of phrases that these were chosen of.
        kind: of the records.
    """

    found: tuple[Difference, ...]
    patients: tuple[int, int]
    both: int
    proposed: int
    kind: Kind


def condition(words: str, flag: str) -> Condition:
    """A condition from `COLUMN=VALUE`.

    Raises:
        UsageError: it has another form.
    """
    column, equals, value = words.partition("=")
    if not (column and equals and value):
        raise UsageError(f"{flag} {words}: write COLUMN=VALUE, such as sex=F")
    return column, value


def fulfils(manifest: Manifest, asked: Condition) -> tuple[Bools, Bools]:
    """(rows,) which records have the value, or hold it in a list, and of which the value is known.

    Raises:
        UsageError: there is no such column, or no record has the value.
    """
    column, value = asked
    if not manifest.has(column):
        raise UsageError(
            f"{column}={value}: the manifest has no such column{did_you_mean(column, manifest.table.column_names)}"
        )
    values = manifest.table[column].to_pylist()
    words = [[str(part) for part in one] if isinstance(one, list) else [str(one)] for one in values]
    has, known = np.array([value in one for one in words]), np.array([one is not None for one in values])
    if not has.any():
        there = sorted({part for one, is_known in zip(words, known, strict=True) if is_known for part in one})
        raise UsageError(f"{column}={value}: no record has it{did_you_mean(value, there)}")
    return has & known, known


def differences(
    run: MultimodalRun,
    manifest: Manifest,
    first: Condition,
    second: Condition | None,
    store: Path,
    *,
    phrases: Sequence[str] = (),
    kind: Kind | None = None,
    split: str = "",
    least: int = 3,
    most: int = 50,
    bootstrap: int = 1000,
    seed: int = 0,
    jobs: int = -1,
) -> Differences:
    """Find phrases that tell two sets of records apart: VisDiff (Dunlap et al., CVPR 2024) without a language model.

    A phrase scores a record by the cosine of the two, a patient by the mean of those of the records. Half of the
    patients of each set propose: their sentences, or given phrases, are ordered by how far their AUROC is from 0.5, and
    the first `most` are kept. The other half ranks these, so that no phrase is tested by the patients it was chosen by.
    Patients with records in both sets are in neither.

    Args:
        run: that reads texts.
        manifest: records and reports.
        first: of the records of the first set.
        second: of those of the second; None takes all others of which the column is known.
        store: of prepared records.
        phrases: a vocabulary; empty takes sentences of reports of the patients that propose.
        kind: of the records; None takes the first modality other than reports.
        split: whose records are compared; empty takes all.
        least: patients in whose reports a sentence has to occur, so that none speaks of one patient alone.
        most: number of phrases that are ranked.
        bootstrap: number of bootstrap samples.
        seed: of the halves and of the bootstrap.
        jobs: processes that prepare records.

    Raises:
        UsageError: there is no such column or value, or the run reads no texts.
        MedclError: a set has too few patients, or there is no phrase.
    """
    tokenizer_of(run)
    manifest = manifest.ok()
    kind = kind or next(one for one in WINGS if one in run.card.sides and one != REPORT)
    rows = manifest.split_rows(split) if split else np.arange(len(manifest))
    rows = rows[(manifest.kinds[rows] == kind) & (manifest.column("patient")[rows] >= 0)]
    one, known = fulfils(manifest, first)
    other = known & ~one if second is None else fulfils(manifest, second)[0] & ~one
    rows = rows[one[rows] | other[rows]]
    if not len(rows):
        raise MedclError(f"no {plural(kind)} of known patients in either set")
    side = embed_kind(run, manifest, kind, rows, store, jobs=jobs)
    patient, is_first = manifest.column("patient")[side.rows], one[side.rows]
    both = np.intersect1d(patient[is_first], patient[~is_first])
    kept = ~np.isin(patient, both)
    people, of = np.unique(patient[kept], return_inverse=True)
    belongs = np.zeros(len(people), dtype=bool)
    belongs[of] = is_first[kept]
    proposes = _half(belongs, seed)
    if not phrases:
        phrases = common_sentences(manifest, people[proposes], least)
    phrases = list(dict.fromkeys(phrases))
    if not phrases:
        raise MedclError(f"no sentence occurs in the reports of {least} patients; give --phrases, or lower --least")
    texts = F.normalize(embed_texts(run, phrases).float(), dim=1)
    cosines = (side.z.float() @ texts.T).double().numpy()[kept]
    scores = _means(cosines, of, len(people))
    chosen = np.argsort(-np.abs(aurocs(scores[proposes], belongs[proposes]) - 0.5), kind="stable")[:most]
    tested = separations(scores[~proposes][:, chosen], belongs[~proposes], n_boot=bootstrap, seed=seed)
    found = [Difference(phrases[place], told) for place, told in zip(chosen, tested, strict=True)]
    ranking = belongs[~proposes]
    return Differences(
        tuple(sorted(found, key=lambda told: -told.separation.auroc)),
        (int(ranking.sum()), int((~ranking).sum())),
        len(both),
        len(phrases),
        kind,
    )


def common_sentences(manifest: Manifest, patients: Collection[int] | Ints, least: int) -> list[str]:
    """Sentences of the reports of some patients that occur with several of them, in the order of the manifest."""
    people = manifest.column("patient")
    rows = np.flatnonzero((manifest.kinds == REPORT) & np.isin(people, np.asarray(patients)))
    texts, first, having = manifest.column("report"), dict[int, str](), dict[int, set[int]]()
    for row in rows.tolist():
        parts = draws(str(texts[row] or ""), TextConfig(draw="sentence"))
        for part in parts if isinstance(parts, list) else []:
            code = text_code(part)
            first.setdefault(code, part)
            having.setdefault(code, set()).add(int(people[row]))
    return [part for code, part in first.items() if len(having[code]) >= least]


def _half(belongs: Bools, seed: int) -> NDArray[np.bool_]:
    """(patients,) half of those of each set, drawn with a seed.

    Raises:
        MedclError: a set has too few for two halves.
    """
    rng, chosen = np.random.default_rng(seed), np.zeros(len(belongs), dtype=bool)
    for name, of_set in (("first", belongs), ("second", ~belongs)):
        members = np.flatnonzero(of_set)
        if len(members) < 2 * LEAST:
            raise MedclError(
                f"the {name} set has {len(members)} patients who are not in the other: {2 * LEAST} are needed, half to "
                "propose phrases and half to rank them"
            )
        chosen[rng.permutation(members)[: len(members) // 2]] = True
    return chosen


def _means(values: Floats, of: Ints, count: int) -> Floats:
    """Means (count, K) of values (N, K) by group (N,)."""
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, of, values)
    return total / np.bincount(of, minlength=count)[:, None]
