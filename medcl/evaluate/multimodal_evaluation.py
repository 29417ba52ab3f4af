"""`medcl evaluate` as one function: runs of several modalities and a manifest in, results.json and a page out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import combinations
from pathlib import Path

import numpy as np

from medcl import runs
from medcl.archive.links import PARTNERS, Links, links, taking_part
from medcl.archive.manifest import Manifest
from medcl.archive.split import check
from medcl.errors import MedclError, UsageError
from medcl.evaluate import zero_shot as prompts
from medcl.evaluate.boxes import grounding, read_boxes
from medcl.evaluate.captions import captions
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.grounding import can_ground, ground
from medcl.evaluate.multimodal_space import (
    Embedded,
    MultimodalRun,
    embed_kind,
    require_multimodal,
)
from medcl.evaluate.multimodal_trials import CHANCE, Sides, Tried, retrieval, swaps, zero_shot
from medcl.evaluate.page import write_page
from medcl.evaluate.relevance import (
    among,
    each_text_once,
    linked_rows,
    rows_of,
    texts_in_words,
)
from medcl.evaluate.repeats import infos_of, repeats_of
from medcl.evaluate.results import ArmInfo, Results, Score
from medcl.evaluate.text_evaluation import evaluate_texts, reads_reports_alone
from medcl.evaluate.trial_results import LABEL, results_of_trials
from medcl.modality import WINGS, plural
from medcl.networks.multimodal import REPORT
from medcl.stats.embedding_space import measure_gap
from medcl.stats.retrieval import Ints


def evaluate_multimodal(
    folders: Sequence[Path], manifest: Manifest, config: MultimodalEvaluateConfig, store: Path, output: Path
) -> Results:
    """Measure retrieval between modalities, zero-shot classification from prompts, grounding and the modality gap.

    Of runs with a decoder of reports it is the perplexity of these, too. Runs on reports alone are measured by
    `evaluate_texts`.

    Every run is an arm, or a repeat of one (`config.names`), measured on the records that all of them can prepare;
    chance is an arm as well. A protocol is a
    direction of retrieval, a target with prompts, or the gap of two modalities. Records are prepared once in `store`;
    results.json, report.html and the grounding images are written to `output`.

    Raises:
        MedclError: the runs, the records or the prompts do not allow it.
        LeakError: a test patient was trained on.
    """
    repeats = repeats_of(folders, config.names)
    loaded = {name: runs.load(one) for name, one in zip(repeats, folders, strict=True)}
    infos = infos_of(loaded, repeats)
    if all(reads_reports_alone(run.config) for run in loaded.values()):
        return evaluate_texts(loaded, infos, repeats, manifest, config, output)
    arms = {name: require_multimodal(run) for name, run in loaded.items()}
    asked = prompts.read_prompts(config.prompts) if config.prompts else []
    for one in asked:
        prompts.check(one, manifest)
    _check(list(arms.values()), asked, config)
    manifest = manifest.ok()
    placed = read_boxes(config.boxes, manifest) if config.boxes else {}
    check(manifest)
    known, counted = links(manifest), taking_part(manifest, config.reports)
    rows = rows_of(manifest, known, config.split)
    rows, known = rows[counted[rows]], among(known, counted)
    said = [runs.guard(run, manifest, rows, allow=config.allow_transductive) for run in arms.values()]
    notes = [note for note in dict.fromkeys(said) if note]
    sides = _embedded(arms, manifest, rows, config, store, notes)
    once = {name: {kind: each_text_once(manifest, side) for kind, side in own.items()} for name, own in sides.items()}
    tried = Tried(arms, manifest, known, sides, store, config)
    trials = [*retrieval(replace(tried, sides=once), [one.target for one in asked])]
    trials += zero_shot(tried, asked)
    if config.swaps:
        trials += swaps(tried)
    trials += captions(tried)
    if placed:
        trials += grounding(tried, placed)
    shown = []
    for name, run in arms.items():
        arm, number = repeats[name]
        if can_ground(run) and config.images and not number:
            both = sides[name]["image"], sides[name][REPORT]
            linked = linked_rows(manifest, known, *both)
            if len(linked):
                shown += ground(
                    run, manifest, *both, linked, store, output, arm, number=config.images, jobs=config.jobs
                )
    infos.append(ArmInfo(CHANCE, "baseline", CHANCE))
    if REPORT in tried.held:
        notes.append(
            texts_in_words(len(tried.held[REPORT].rows), len(next(iter(once.values()))[REPORT].rows), config.reports)
        )
    results = results_of_trials(
        trials,
        [*_gaps(manifest, known, sides, config)],
        infos,
        repeats,
        manifest,
        {kind: side.rows for kind, side in tried.held.items()},
        config,
        {name: run.config for name, run in arms.items()},
        notes,
        [about for about, _, _ in shown],
    )
    results.save(output / "results.json")
    write_page(results, output / "report.html", overlays=[(image, overlay) for _, image, overlay in shown])
    return results


def _check(arms: Sequence[MultimodalRun], asked: Sequence[prompts.Prompts], config: MultimodalEvaluateConfig) -> None:
    if config.text not in ("whole", "sentence"):
        raise UsageError(f"--text {config.text}: choose from whole, sentence")
    first = arms[0]
    for run in arms[1:]:
        if set(run.card.sides) != set(first.card.sides):
            raise UsageError(
                f"{run.folder}: has encoders of {', '.join(run.card.sides)}, {first.folder} of "
                f"{', '.join(first.card.sides)}: evaluate them one by one"
            )
    if (asked or config.swaps or config.reports != "all") and REPORT not in first.card.sides:
        what = "--prompts" if asked else "--swaps" if config.swaps else f"--reports {config.reports}"
        raise UsageError(f"{first.folder}: was pretrained without reports, so that {what} does not apply")
    if config.encoders:
        raise UsageError(f"{first.folder}: was not pretrained on reports alone, so that --encoders does not apply")
    if config.boxes and not can_ground(first):
        raise UsageError(f"{first.folder}: was not pretrained on images and reports, so that --boxes does not apply")


def _embedded(
    arms: Mapping[str, MultimodalRun],
    manifest: Manifest,
    rows: Ints,
    config: MultimodalEvaluateConfig,
    store: Path,
    notes: list[str],
) -> dict[str, Sides]:
    """The records of every kind in the space of every run, those that all can prepare; notes on the others."""
    sides: dict[str, Sides] = {name: {} for name in arms}
    first = next(iter(arms.values()))
    for kind in [one for one in WINGS if one in first.card.sides]:
        wanted = int((manifest.kinds[rows] == kind).sum())
        if not wanted:
            which = f" ({PARTNERS[config.reports]})" if kind == REPORT and config.reports != "all" else ""
            raise MedclError(
                f"the split {config.split!r} holds no {plural(kind)}{which}, which {first.folder} was trained on"
            )
        found = {
            name: embed_kind(run, manifest, kind, rows, store, text=config.text, jobs=config.jobs)
            for name, run in arms.items()
        }
        common = reduce(np.intersect1d, [one.rows for one in found.values()])
        for name, one in found.items():
            sides[name][kind] = Embedded(kind, common, one.z[np.flatnonzero(np.isin(one.rows, common))])
        if wanted > len(common):
            notes.append(f"{wanted - len(common)} {plural(kind)} were left out: they could not be prepared.")
    return sides


def _gaps(
    manifest: Manifest, known: Links, sides: Mapping[str, Sides], config: MultimodalEvaluateConfig
) -> Iterator[Score]:
    patient = manifest.column("patient")
    for name, own in sides.items():
        for first, second in combinations(own.values(), 2):
            linked, patients = linked_rows(manifest, known, first, second), (patient[first.rows], patient[second.rows])
            gap = measure_gap(first.z.numpy(), second.z.numpy(), linked, *patients, seed=config.seed)
            metrics = {
                "centroid_distance": gap.distance,
                "variance_between": gap.variance,
                "alignment": gap.alignment,
                "alignment_all": gap.alignment_all,
                "uniformity_first": gap.uniformity[0],
                "uniformity_second": gap.uniformity[1],
                "separability": gap.separable,
            }
            protocol = f"modality gap of {plural(first.kind)} and {plural(second.kind)}"
            yield Score(protocol, name, LABEL, 0, config.seed, metrics)
