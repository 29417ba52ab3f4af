"""`medcl evaluate` as one function: a run of several modalities and a manifest in, results.json and a page out."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl import runs
from medcl.archive.links import PARTNERS, Links, Partners, links, taking_part, text_ids
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.archive.split import check
from medcl.archive.stratify import is_labelled
from medcl.errors import MedclError, UsageError
from medcl.evaluate import zero_shot as prompts
from medcl.evaluate.assemble import made_with
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.grounding import can_ground, ground
from medcl.evaluate.multimodal_results import Between, Classified, Direction, MultimodalResults, write_page
from medcl.evaluate.multimodal_space import Embedded, MultimodalRun, embed_kind, embed_texts, require_multimodal
from medcl.evaluate.retrieval import Ints, RelevanceIds, Retrieval, SharedIds, rank, summarise
from medcl.evaluate.zero_shot import classify, measure_zero_shot
from medcl.modality import WINGS, wing
from medcl.networks.multimodal import REPORT
from medcl.stats.embedding_space import measure_gap

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


def label_relevance(manifest: Manifest, links: Links, side: Embedded, target: str) -> RelevanceIds:
    """RelevanceIds by the classes of a target; a report has those of the records that it, or an equal text, describes.

    Raises:
        UsageError: there is no such target.
    """
    labels = manifest.labels(target)
    table = labels if labels.ndim == 2 else labels[:, None] == np.arange(len(manifest.targets[target].classes))
    table = np.asarray(table == 1)
    described = side.members
    if side.kind == REPORT:
        described = tuple(np.concatenate([links.records_of(int(row)) for row in rows]) for rows in described)
    return RelevanceIds.of([np.flatnonzero(table[some].any(axis=0)) for some in described])


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
            f"none of {first.z.shape[0]} {wing(first.kind).plural} belongs to any of {second.z.shape[0]} "
            f"{wing(second.kind).plural}: a report belongs to a record by its trial, study or patient, others by study "
            "or patient"
        )


Sides = dict[Kind, Embedded]


def evaluate_multimodal(
    run_folder: Path, manifest: Manifest, config: MultimodalEvaluateConfig, store: Path, output: Path
) -> MultimodalResults:
    """Measure retrieval between modalities, zero-shot classification from prompts, grounding and the modality gap.

    Records are prepared once in `store`; results.json, report.html and the grounding images are written to `output`.

    Raises:
        MedclError: the run, the records or the prompts do not allow it.
        LeakError: a test patient was trained on.
    """
    run = require_multimodal(runs.load(run_folder))
    asked = prompts.read_prompts(config.prompts) if config.prompts else []
    for one in asked:
        prompts.check(one, manifest)
    if config.text not in ("whole", "sentence"):
        raise UsageError(f"--text {config.text}: choose from whole, sentence")
    if (asked or config.reports != "all") and REPORT not in run.card.sides:
        what = "--prompts" if asked else f"--reports {config.reports}"
        raise UsageError(f"{run.folder}: was pretrained without reports, so that {what} does not apply")
    manifest = manifest.ok()
    check(manifest)
    known, counted = links(manifest), taking_part(manifest, config.reports)
    rows = _rows(manifest, known, config.split)
    rows, known = rows[counted[rows]], among(known, counted)
    warning = runs.guard(run, manifest, rows, allow=config.allow_transductive)
    notes = [warning] if warning else []
    sides: Sides = {}
    for kind in [one for one in WINGS if one in run.card.sides]:
        wanted = int((manifest.kinds[rows] == kind).sum())
        if not wanted:
            which = f" ({PARTNERS[config.reports]})" if kind == REPORT and config.reports != "all" else ""
            raise MedclError(
                f"the split {config.split!r} holds no {wing(kind).plural}{which}, which {run.folder} was trained on"
            )
        sides[kind] = embed_kind(run, manifest, kind, rows, store, text=config.text, jobs=config.jobs)
        if wanted > len(sides[kind].rows):
            notes.append(
                f"{wanted - len(sides[kind].rows)} {wing(kind).plural} were left out: they could not be prepared."
            )
    once: Sides = {kind: each_text_once(manifest, side) for kind, side in sides.items()}
    targets = [one.target for one in asked]
    patient = manifest.column("patient")
    shown = []
    if can_ground(run) and config.images:
        both = sides["image"], sides["report"]
        linked = linked_rows(manifest, known, *both)
        if len(linked):
            shown = ground(run, manifest, *both, linked, store, output, number=config.images, jobs=config.jobs)
    results = MultimodalResults(
        run=str(run_folder),
        method=str(run.config.get("method", "")),
        split=config.split,
        records={kind: len(side.rows) for kind, side in sides.items()},
        patients={kind: len(np.unique(patient[side.rows])) for kind, side in sides.items()},
        retrieval=tuple(_retrieval(manifest, known, once, targets, config)),
        zero_shot=tuple(_zero_shot(run, manifest, sides, asked, config)),
        gaps=tuple(_gaps(manifest, known, sides, config)),
        grounding=tuple(about for about, _, _ in shown),
        notes=tuple(notes),
        reports=config.reports,
        texts=len(once[REPORT].rows) if REPORT in once else 0,
        config={"evaluation": asdict(config), "pretraining": run.config},
        **made_with(),
    )
    results.save(output / "results.json")
    write_page(results, output / "report.html", [(image, overlay) for _, image, overlay in shown])
    return results


def _rows(manifest: Manifest, known: Links, split: str) -> Ints:
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


def _retrieval(
    manifest: Manifest, known: Links, sides: Sides, targets: list[str], config: MultimodalEvaluateConfig
) -> Iterator[Direction]:
    """Both ways between every two kinds by what belongs together and by label, then within each kind.

    Equal texts are one query and one candidate. For its interval such a query is of the patient of the first of them.
    """
    patient = manifest.column("patient")

    def found(a: Embedded, b: Embedded, marks: Marks, out: Marks | None) -> Retrieval:
        ranking = rank(a.z, b.z, marks, out, ranks=config.ranks, seed=config.seed)
        return summarise(ranking, patient[a.rows], n_boot=config.bootstrap, seed=config.seed)

    for first, second in combinations(sides.values(), 2):
        for a, b in ((first, second), (second, first)):
            marks, word = pairs(manifest, known, a, b, config.reports)
            yield Direction(a.kind, b.kind, word, found(a, b, marks, None))
    of_label = {
        (kind, target): label_relevance(manifest, known, side, target)
        for kind, side in sides.items()
        for target in targets
    }
    for target in targets:
        for a in sides.values():
            for b in sides.values():
                marks = of_label[a.kind, target], of_label[b.kind, target]
                # A record of the query's own patient would be found for other reasons than its label.
                out = patient_relevance(manifest, a), patient_relevance(manifest, b)
                if any_hit(marks, out):
                    yield Direction(a.kind, b.kind, f"same {target}, another patient", found(a, b, marks, out), target)
    for side in sides.values():
        own, itself = patient_relevance(manifest, side), RelevanceIds.of(np.arange(len(side.rows)))
        if any_hit((own, own), (itself, itself)):
            another = found(side, side, (own, own), (itself, itself))
            yield Direction(side.kind, side.kind, "another of the same patient", another)


def _zero_shot(
    run: MultimodalRun, manifest: Manifest, sides: Sides, asked: list[prompts.Prompts], config: MultimodalEvaluateConfig
) -> Iterator[Classified]:
    patient = manifest.column("patient")
    for one in asked:
        target, labels = manifest.targets[one.target], manifest.labels(one.target)
        known = is_labelled(labels)
        for kind, side in sides.items():
            labelled = known[side.rows]
            if kind == REPORT or not labelled.any():
                continue
            rows = side.rows[labelled]
            z, embed = side.z[np.flatnonzero(labelled)], partial(embed_texts, run)
            said = classify(z, one, target, embed, temperature=config.temperature)
            result = measure_zero_shot(
                target, labels[rows], said, patient[rows], n_boot=config.bootstrap, seed=config.seed
            )
            yield Classified(kind, result)


def _gaps(manifest: Manifest, known: Links, sides: Sides, config: MultimodalEvaluateConfig) -> Iterator[Between]:
    patient = manifest.column("patient")
    for first, second in combinations(sides.values(), 2):
        linked, patients = linked_rows(manifest, known, first, second), (patient[first.rows], patient[second.rows])
        a, b = first.z.numpy(), second.z.numpy()
        yield Between(first.kind, second.kind, measure_gap(a, b, linked, *patients, seed=config.seed))
