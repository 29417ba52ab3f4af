"""`medcl evaluate` as one function: runs of several modalities and a manifest in, results.json and a page out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial, reduce
from itertools import combinations, product
from pathlib import Path

import numpy as np
from torch.nn import functional as F  # noqa: N812

from medcl import runs
from medcl.archive.links import PARTNERS, Links, links, taking_part
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.archive.split import check
from medcl.archive.stratify import is_labelled
from medcl.documents import plain
from medcl.errors import MedclError, UsageError
from medcl.evaluate import zero_shot as prompts
from medcl.evaluate.arms import names_of
from medcl.evaluate.assemble import left_out, made_with
from medcl.evaluate.cells import fingerprint
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.grounding import can_ground, ground
from medcl.evaluate.multimodal_space import (
    Embedded,
    MultimodalRun,
    embed_kind,
    embed_texts,
    report_texts,
    require_multimodal,
)
from medcl.evaluate.page import write_page
from medcl.evaluate.relevance import (
    Marks,
    among,
    any_hit,
    each_text_once,
    label_relevance,
    linked_rows,
    pairs,
    patient_relevance,
    rows_of,
    texts_in_words,
)
from medcl.evaluate.results import ArmInfo, Fraction, Results, ResultTarget, Score, Split
from medcl.evaluate.results_tables import Procedure, Queries
from medcl.evaluate.summary import Tested, bootstrap, differences, scores_of, summaries, table_of
from medcl.evaluate.tasks.base import Measured
from medcl.modality import WINGS, plural
from medcl.modality.report.swaps import SWAPS, first_swapped
from medcl.networks.multimodal import REPORT
from medcl.stats.embedding_space import measure_gap
from medcl.stats.retrieval import Ints, QueryValues, RelevanceIds, rank, values_of

Sides = dict[Kind, Embedded]
CHANCE = "chance"
LABEL = "0"
"""The one label fraction: no labels."""


@dataclass(frozen=True)
class Trial:
    """What every arm did with the same queries or records.

    Args:
        queries: their numbers.
        measured: of each arm, that of chance the last.
        patient: (queries,) patient of each.
        classes: names of the values by class.
    """

    queries: Queries
    measured: dict[str, Measured]
    patient: Ints
    classes: tuple[str, ...] = ()


def evaluate_multimodal(
    folders: Sequence[Path], manifest: Manifest, config: MultimodalEvaluateConfig, store: Path, output: Path
) -> Results:
    """Measure retrieval between modalities, zero-shot classification from prompts, grounding and the modality gap.

    Every run is an arm, measured on the records that all of them can prepare; chance is one as well. A protocol is a
    direction of retrieval, a target with prompts, or the gap of two modalities. Records are prepared once in `store`;
    results.json, report.html and the grounding images are written to `output`.

    Raises:
        MedclError: the runs, the records or the prompts do not allow it.
        LeakError: a test patient was trained on.
    """
    arms = {n: require_multimodal(runs.load(one)) for n, one in zip(names_of(folders), folders, strict=True)}
    asked = prompts.read_prompts(config.prompts) if config.prompts else []
    for one in asked:
        prompts.check(one, manifest)
    _check(list(arms.values()), asked, config)
    manifest = manifest.ok()
    check(manifest)
    known, counted = links(manifest), taking_part(manifest, config.reports)
    rows = rows_of(manifest, known, config.split)
    rows, known = rows[counted[rows]], among(known, counted)
    said = [runs.guard(run, manifest, rows, allow=config.allow_transductive) for run in arms.values()]
    notes = [note for note in dict.fromkeys(said) if note]
    sides = _embedded(arms, manifest, rows, config, store, notes)
    once = {name: {kind: each_text_once(manifest, side) for kind, side in own.items()} for name, own in sides.items()}
    first, patient = next(iter(sides.values())), manifest.column("patient")
    trials = [*_retrieval(manifest, known, once, [one.target for one in asked], config)]
    trials += _zero_shot(arms, manifest, sides, asked, config)
    if config.swaps:
        trials += _swaps(arms, manifest, known, sides, store, config)
    shown = []
    for name, run in arms.items():
        if can_ground(run) and config.images:
            both = sides[name]["image"], sides[name][REPORT]
            linked = linked_rows(manifest, known, *both)
            if len(linked):
                number, jobs = config.images, config.jobs
                shown += ground(run, manifest, *both, linked, store, output, name, number=number, jobs=jobs)
    infos = [
        ArmInfo(name, "run", run=str(folder), method=str(run.config.get("method", "")))
        for folder, (name, run) in zip(folders, arms.items(), strict=True)
    ]
    infos.append(ArmInfo(CHANCE, "baseline", CHANCE))
    scores, summary, gaps = [], [], []
    for trial in trials:
        protocol = trial.queries.protocol
        tested = [
            Tested(protocol, name, LABEL, 0, config.seed, 0, one, trial.classes, name)
            for name, one in trial.measured.items()
        ]
        found, undefined = scores_of(tested)
        table = table_of(found, bootstrap(tested, {0: trial.patient}, config.bootstrap, config.seed))
        scores += found
        # What a random order is expected to find is known: only its difference to a run has an interval.
        summary += [
            replace(row, low=math.nan, high=math.nan) if row.arm == CHANCE else row
            for row in summaries(table, trial.queries.patients)
        ]
        gaps += differences(table, infos, trial.queries.patients)
        notes += [f"{protocol}: {note}" for note in left_out(undefined)]
        if trial.queries.without_hit:
            notes.append(f"{protocol}: {trial.queries.without_hit:,} queries have no hit and are not counted.")
    between = [*_gaps(manifest, known, sides, config)]
    table = table_of(between)
    if REPORT in first:
        notes.append(
            texts_in_words(len(first[REPORT].rows), len(next(iter(once.values()))[REPORT].rows), config.reports)
        )
    tested_rows = np.concatenate([side.rows for side in first.values()])
    results = Results(
        target=ResultTarget("retrieval", "retrieval"),
        arms=tuple(infos),
        protocols=tuple(dict.fromkeys(score.protocol for score in (*scores, *between))),
        metric=f"recall@{max(config.ranks)}",
        config=plain({"evaluation": asdict(config), "pretraining": {name: run.config for name, run in arms.items()}}),
        splits={
            "test": Split(
                len(np.unique(patient[tested_rows])),
                len(tested_rows),
                {plural(kind): len(side.rows) for kind, side in first.items()},
                fingerprint(manifest.column("record_id")[tested_rows]),
            )
        },
        notes=(*notes, *([f"Tested on the split {config.split}."] if config.split != "test" else [])),
        fractions=(Fraction(LABEL, 0, 0),),
        procedure=Procedure(config.seed, 1, config.bootstrap),
        scores=(*scores, *between),
        summary=(*summary, *summaries(table, 0)),
        differences=(*gaps, *differences(table, infos, 0)),
        queries=tuple(trial.queries for trial in trials),
        grounding=tuple(about for about, _, _ in shown),
        **made_with(),
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


def _retrieval(
    manifest: Manifest, known: Links, sides: Mapping[str, Sides], targets: list[str], config: MultimodalEvaluateConfig
) -> Iterator[Trial]:
    """Both ways between every two kinds by what belongs together and by label, then within each kind.

    Equal texts are one query and one candidate. For its interval such a query is of the patient of the first of them.
    """
    patient, held = manifest.column("patient"), next(iter(sides.values()))

    def found(a: Kind, b: Kind, hit: str, marks: Marks, out: Marks | None) -> Trial:
        measured: dict[str, Measured] = {}
        for name, own in sides.items():
            ranking = rank(own[a].z, own[b].z, marks, out, ranks=config.ranks, seed=config.seed)
            measured[name], by_chance = values_of(ranking)
        kept = ranking.answerable  # the same for all arms
        asking = patient[held[a].rows][kept]
        numbers = int(kept.sum()), len(np.unique(asking)), int(ranking.candidates[kept].max()), int((~kept).sum())
        return Trial(Queries(f"{a} to {b}: {hit}", *numbers), {**measured, CHANCE: by_chance}, asking)

    for one, two in combinations(held, 2):
        for a, b in ((one, two), (two, one)):
            marks, word = pairs(manifest, known, held[a], held[b], config.reports)
            yield found(a, b, word, marks, None)
    own = {kind: patient_relevance(manifest, side) for kind, side in held.items()}
    for target in targets:
        of_label = {kind: label_relevance(manifest, known, side, target) for kind, side in held.items()}
        for a, b in product(held, held):
            # A record of the query's own patient would be found for other reasons than its label.
            if any_hit(marks := (of_label[a], of_label[b]), out := (own[a], own[b])):
                yield found(a, b, f"same {target}, another patient", marks, out)
    for kind, side in held.items():
        itself = RelevanceIds.of(np.arange(len(side.rows)))
        if any_hit(marks := (own[kind], own[kind]), out := (itself, itself)):
            yield found(kind, kind, "another of the same patient", marks, out)


def _zero_shot(
    arms: Mapping[str, MultimodalRun],
    manifest: Manifest,
    sides: Mapping[str, Sides],
    asked: list[prompts.Prompts],
    config: MultimodalEvaluateConfig,
) -> Iterator[Trial]:
    for one, kind in product(asked, next(iter(sides.values()))):
        target, labels = manifest.targets[one.target], manifest.labels(one.target)
        every = next(iter(sides.values()))[kind].rows
        labelled = np.flatnonzero(is_labelled(labels)[every])
        if kind == REPORT or not len(labelled):
            continue
        rows, measured = every[labelled], {}
        for name, run in arms.items():
            z, embed = sides[name][kind].z[labelled], partial(embed_texts, run)
            said = prompts.classify(z, one, target, embed, temperature=config.temperature)
            measured[name], by_chance = prompts.measured(target, labels[rows], said)
        asking = manifest.column("patient")[rows]
        name = f"zero-shot {target.name} of {plural(kind)}"
        about = Queries(name, len(rows), len(np.unique(asking)), len(target.classes))
        classes = target.classes[-1:] if target.kind == "binary" else target.classes
        yield Trial(about, {**measured, CHANCE: by_chance}, asking, tuple(classes))


def _swaps(
    arms: Mapping[str, MultimodalRun],
    manifest: Manifest,
    known: Links,
    sides: Mapping[str, Sides],
    store: Path,
    config: MultimodalEvaluateConfig,
) -> Iterator[Trial]:
    """Whether a record is nearer to its report than to the same with one word exchanged, of each kind of word.

    Read by `sentence`, it is the sentence with that word that is compared.
    """
    name, run = next(iter(arms.items()))
    held = sides[name]
    texts = report_texts(run, manifest, held[REPORT].rows, store, config.text, config.jobs)
    patient = manifest.column("patient")
    for what, kind in product(SWAPS, (one for one in held if one != REPORT)):
        linked = linked_rows(manifest, known, held[kind], held[REPORT])
        pairs = [(int(record), *pair) for record, report in linked if (pair := first_swapped(texts[int(report)], what))]
        if not pairs:
            continue
        records, said, changed = zip(*pairs, strict=True)
        measured: dict[str, Measured] = {}
        for name, run in arms.items():
            z = F.normalize(sides[name][kind].z[list(records)], dim=1)
            true, false = (F.normalize(embed_texts(run, one), dim=1) for one in (said, changed))
            nearer = ((z * true).sum(1) - (z * false).sum(1)).sign()
            measured[name] = QueryValues({"accuracy": (nearer.double().numpy() + 1) / 2})
        asking = patient[held[kind].rows[list(records)]]
        about = Queries(f"{kind} to report or its opposite: {what}", len(pairs), len(np.unique(asking)), 2)
        yield Trial(about, {**measured, CHANCE: QueryValues({"accuracy": np.full(len(pairs), 0.5)})}, asking)


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
