"""`medcl evaluate` as one function: a run of several modalities and a manifest in, results.json and a page out."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from medcl import runs
from medcl.archive.links import PARTNERS, Links, links, taking_part
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.archive.split import check
from medcl.errors import MedclError, UsageError
from medcl.evaluate import multimodal_pairs as multimodal_pairs
from medcl.evaluate import zero_shot as prompts
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.grounding import can_ground, ground
from medcl.evaluate.multimodal_page import write_page
from medcl.evaluate.multimodal_results import Between, Classified, Direction, MultimodalResults
from medcl.evaluate.multimodal_space import Embedded, MultimodalRun, embed_kind, embed_texts, require_multimodal
from medcl.evaluate.results import made_with
from medcl.evaluate.retrieval import Ints, RelevanceIds, Retrieval, rank, summarise
from medcl.evaluate.task import Task
from medcl.evaluate.zero_shot import classify, measure_zero_shot
from medcl.modality import WINGS, wing
from medcl.networks.multimodal import REPORT
from medcl.stats.embedding_space import measure_gap

Sides = dict[Kind, Embedded]
Marks = tuple[RelevanceIds, RelevanceIds]


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
    rows, known = rows[counted[rows]], multimodal_pairs.among(known, counted)
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
    once: Sides = {kind: multimodal_pairs.each_text_once(manifest, side) for kind, side in sides.items()}
    targets = [one.target for one in asked]
    patient = manifest.column("patient")
    shown = []
    if can_ground(run) and config.images:
        both = sides["image"], sides["report"]
        pairs = multimodal_pairs.linked_rows(manifest, known, *both)
        if len(pairs):
            shown = ground(run, manifest, *both, pairs, store, output, number=config.images, jobs=config.jobs)
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
            marks, word = multimodal_pairs.pairs(manifest, known, a, b, config.reports)
            yield Direction(a.kind, b.kind, word, found(a, b, marks, None))
    of_label = {
        (kind, target): multimodal_pairs.label_relevance(manifest, known, side, target)
        for kind, side in sides.items()
        for target in targets
    }
    for target in targets:
        for a in sides.values():
            for b in sides.values():
                marks = of_label[a.kind, target], of_label[b.kind, target]
                # A record of the query's own patient would be found for other reasons than its label.
                out = multimodal_pairs.patient_relevance(manifest, a), multimodal_pairs.patient_relevance(manifest, b)
                if multimodal_pairs.any_hit(marks, out):
                    yield Direction(a.kind, b.kind, f"same {target}, another patient", found(a, b, marks, out), target)
    for side in sides.values():
        own, itself = multimodal_pairs.patient_relevance(manifest, side), RelevanceIds.of(np.arange(len(side.rows)))
        if multimodal_pairs.any_hit((own, own), (itself, itself)):
            another = found(side, side, (own, own), (itself, itself))
            yield Direction(side.kind, side.kind, "another of the same patient", another)


def _zero_shot(
    run: MultimodalRun, manifest: Manifest, sides: Sides, asked: list[prompts.Prompts], config: MultimodalEvaluateConfig
) -> Iterator[Classified]:
    patient = manifest.column("patient")
    for one in asked:
        task = Task.of(manifest, one.target)
        for kind, side in sides.items():
            labelled = task.labelled[side.rows]
            if kind == REPORT or not labelled.any():
                continue
            rows = side.rows[labelled]
            z, embed = side.z[np.flatnonzero(labelled)], partial(embed_texts, run)
            said = classify(z, one, task.target, embed, temperature=config.temperature)
            result = measure_zero_shot(
                task.target, task.labels[rows], said, patient[rows], n_boot=config.bootstrap, seed=config.seed
            )
            yield Classified(kind, result)


def _gaps(manifest: Manifest, known: Links, sides: Sides, config: MultimodalEvaluateConfig) -> Iterator[Between]:
    patient = manifest.column("patient")
    for first, second in combinations(sides.values(), 2):
        pairs = multimodal_pairs.linked_rows(manifest, known, first, second)
        patients = patient[first.rows], patient[second.rows]
        a, b = first.z.numpy(), second.z.numpy()
        yield Between(first.kind, second.kind, measure_gap(a, b, pairs, *patients, seed=config.seed))
