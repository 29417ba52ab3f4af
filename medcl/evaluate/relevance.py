"""Which records of two sides belong together: by report, by equal text, by study, by patient, by label."""

import numpy as np
from numpy.typing import NDArray

from medcl.archive.links import PARTNERS, Links, Partners, text_ids
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.evaluate.multimodal_space import Embedded
from medcl.modality import plural
from medcl.networks.multimodal import REPORT
from medcl.stats.retrieval import Ints, RelevanceIds, SharedIds

Marks = tuple[RelevanceIds, RelevanceIds]
"""Of queries and of candidates."""
_BLOCK_NUMBERS = 4_000_000  # pairs at a time


def among(links: Links, rows: NDArray[np.bool_]) -> Links:
    """The pairs whose report is among the rows (rows,)."""
    kept = rows[links.reports]
    return Links(links.records[kept], links.reports[kept], links.n_rows)


def each_text_once(manifest: Manifest, side: Embedded) -> Embedded:
    """Reports of which equal texts are one, the first of them; other records as they are.

    Equal texts are indistinguishable: as several candidates they would fill the first ranks with one text, found or
    not, and as several queries count one answer several times. Case and white space are ignored.
    """
    if side.kind != REPORT:
        return side
    ids = text_ids(manifest)[side.rows]
    _, first, number = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(number, kind="stable")
    same = np.split(side.rows[order], np.cumsum(np.bincount(number))[:-1])
    kept = np.argsort(first)
    return Embedded(side.kind, side.rows[first[kept]], side.z[first[kept]], tuple(same[k] for k in kept))


def pairs(
    manifest: Manifest, links: Links, first: Embedded, second: Embedded, reports: Partners = "all"
) -> tuple[Marks, str]:
    """RelevanceIds of two sides by which their records belong together, and what they go by.

    Between records and reports: a report that describes the record, or has the same text as one that does. Between
    other kinds: of one study, where any two are of one; else of one patient.

    Raises:
        MedclError: no two of them belong together.
    """
    if REPORT in (first.kind, second.kind):
        texts = text_ids(manifest)
        marks = (_text_relevance(links, texts, first), _text_relevance(links, texts, second))
        word = f"own {PARTNERS[reports]}" if second.kind == REPORT else f"described by the {PARTNERS[reports]}"
        _some(marks, first, second)
        return marks, word
    for level in ("study", "patient"):
        codes = manifest.column(level)
        marks = (RelevanceIds.of(codes[first.rows]), RelevanceIds.of(codes[second.rows]))
        if len(np.intersect1d(marks[0].id, marks[1].id)):
            return marks, f"same {level}"
    _some(marks, first, second)
    raise AssertionError


def linked_rows(manifest: Manifest, links: Links, first: Embedded, second: Embedded) -> Ints:
    """(pairs, 2) numbers of the records of both sides that belong together, in the order of the first side.

    Unlike `pairs`, a report is paired with what it describes alone: a text that many have would pair each with each.
    """
    if REPORT in (first.kind, second.kind):
        marks = tuple(
            RelevanceIds.of(side.rows if side.kind == REPORT else [links.reports_of(int(row)) for row in side.rows])
            for side in (first, second)
        )
    else:
        marks, _ = pairs(manifest, links, first, second)
    return SharedIds.of(marks[0], marks[1], np.arange(marks[1].size)).pairs()


def any_hit(marks: Marks, leave_out: Marks) -> bool:
    """Whether any query has a hit that is not left out; asks for blocks until there is one."""
    order = np.arange(marks[1].size, dtype=np.int64)
    hits, out = SharedIds.of(*marks, order), SharedIds.of(*leave_out, order)
    step = max(1, _BLOCK_NUMBERS // max(1, marks[1].size))
    return any(
        bool((hits.block(start, step) & ~out.block(start, step)).any()) for start in range(0, marks[0].size, step)
    )


def classes_of(manifest: Manifest, links: Links, target: str) -> NDArray[np.bool_]:
    """(rows, classes) of a target; a report has those of the records that it describes.

    Raises:
        UsageError: there is no such target.
    """
    labels = manifest.labels(target)
    table = labels if labels.ndim == 2 else labels[:, None] == np.arange(len(manifest.targets[target].classes))
    return links.told(np.asarray(table == 1))


def label_relevance(manifest: Manifest, links: Links, side: Embedded, target: str) -> RelevanceIds:
    """RelevanceIds by the classes of a target; a report has those of the records that it, or an equal text, describes.

    Raises:
        UsageError: there is no such target.
    """
    table = classes_of(manifest, links, target)
    return RelevanceIds.of([np.flatnonzero(table[some].any(axis=0)) for some in side.members])


def patient_relevance(manifest: Manifest, side: Embedded) -> RelevanceIds:
    """RelevanceIds by patient; a text that several patients have carries all of them."""
    patient = manifest.column("patient")
    return RelevanceIds.of([patient[rows] for rows in side.members])


def _text_relevance(links: Links, texts: Ints, side: Embedded) -> RelevanceIds:
    if side.kind == REPORT:
        return RelevanceIds.of(texts[side.rows])
    return RelevanceIds.of([texts[links.reports_of(int(row))] for row in side.rows])


def _some(marks: Marks, first: Embedded, second: Embedded) -> None:
    if not len(np.intersect1d(marks[0].id, marks[1].id)):
        raise MedclError(
            f"none of {first.z.shape[0]} {plural(first.kind)} belongs to any of {second.z.shape[0]} "
            f"{plural(second.kind)}: a report belongs to a record by its trial, study or patient, others by study "
            "or patient"
        )


def rows_of(manifest: Manifest, known: Links, split: str) -> Ints:
    """Rows of a split; a report without one is in the split of the records that it describes.

    Raises:
        UsageError: the split holds nothing.
    """
    splits = manifest.column("split")
    chosen = np.asarray(splits == split)
    for row in np.flatnonzero((manifest.kinds == REPORT) & (splits == None)):  # noqa: E711  (of each element)
        own = chosen[known.records_of(int(row))]
        chosen[row] = len(own) > 0 and own.all()
    if not chosen.any():
        there = ", ".join(sorted({str(one) for one in splits if one is not None})) or "none"
        raise UsageError(f"--split {split}: the manifest has the splits {there}; `medcl split` makes them")
    return np.flatnonzero(chosen)


def texts_in_words(reports: int, texts: int, which: Partners) -> str:
    """The reports that were used and the number of their texts, in a sentence."""
    used = {
        "record": "Only reports that describe one record, such as captions, are used. ",
        "study": "Only reports of a whole study or patient are used. ",
    }.get(which, "")
    return (
        f"{used}Texts that are equal except for case and white space are one candidate and one query, and a hit for "
        f"every record that one of them describes: number of reports {reports:,}, of distinct texts {texts:,}."
    )
