"""What is asked of every run of several modalities: retrieval, classes in words, reports with a word exchanged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from pathlib import Path

import numpy as np
from torch.nn import functional as F  # noqa: N812

from medcl.archive.links import Links
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.archive.stratify import is_labelled
from medcl.evaluate import zero_shot as prompts
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_space import Embedded, MultimodalRun, embed_texts, report_texts
from medcl.evaluate.relevance import Marks, any_hit, label_relevance, linked_rows, pairs, patient_relevance
from medcl.evaluate.results_tables import Queries
from medcl.modality import plural
from medcl.modality.report.swaps import SWAPS, first_swapped
from medcl.networks.multimodal import REPORT
from medcl.stats.intervals import Measured
from medcl.stats.retrieval import Ints, QueryValues, RelevanceIds, rank, values_of

Sides = dict[Kind, Embedded]
CHANCE = "chance"


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


@dataclass(frozen=True)
class Tried:
    """What is tried: runs, and the records that all of them can prepare.

    Args:
        arms: {name: run}.
        manifest: of all records.
        known: which report describes what.
        sides: the records of each kind in the space of each run.
        store: of prepared records.
        config: of the evaluation.
    """

    arms: Mapping[str, MultimodalRun]
    manifest: Manifest
    known: Links
    sides: Mapping[str, Sides]
    store: Path
    config: MultimodalEvaluateConfig

    @property
    def held(self) -> Sides:
        """The records of each kind, in the space of the first run."""
        return next(iter(self.sides.values()))


def retrieval(tried: Tried, targets: list[str]) -> Iterator[Trial]:
    """Both ways between every two kinds by what belongs together and by label, then within each kind.

    Equal texts are one query and one candidate. For its interval such a query is of the patient of the first of them.
    """
    manifest, known, config, held = tried.manifest, tried.known, tried.config, tried.held
    patient = manifest.column("patient")

    def found(a: Kind, b: Kind, hit: str, marks: Marks, out: Marks | None) -> Trial:
        measured: dict[str, Measured] = {}
        for name, own in tried.sides.items():
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


def zero_shot(tried: Tried, asked: list[prompts.Prompts]) -> Iterator[Trial]:
    """Classification of the records by prompts, of each target that has some."""
    manifest = tried.manifest
    for one, kind in product(asked, tried.held):
        target, labels = manifest.targets[one.target], manifest.labels(one.target)
        every = tried.held[kind].rows
        labelled = np.flatnonzero(is_labelled(labels)[every])
        if kind == REPORT or not len(labelled):
            continue
        rows, measured = every[labelled], {}
        for name, run in tried.arms.items():
            z, embed = tried.sides[name][kind].z[labelled], partial(embed_texts, run)
            said = prompts.classify(z, one, target, embed, temperature=tried.config.temperature)
            measured[name], by_chance = prompts.measured(target, labels[rows], said)
        asking = manifest.column("patient")[rows]
        name = f"zero-shot {target.name} of {plural(kind)}"
        about = Queries(name, len(rows), len(np.unique(asking)), len(target.classes))
        classes = target.classes[-1:] if target.kind == "binary" else target.classes
        yield Trial(about, {**measured, CHANCE: by_chance}, asking, tuple(classes))


def swaps(tried: Tried) -> Iterator[Trial]:
    """Whether a record is nearer to its report than to the same with one word exchanged, of each kind of word.

    Read by `sentence`, it is the sentence with that word that is compared.
    """
    run, held, manifest, config = next(iter(tried.arms.values())), tried.held, tried.manifest, tried.config
    patient = manifest.column("patient")
    reports = report_texts(run, manifest, held[REPORT].rows, tried.store, config.text, config.jobs)
    linked = {
        kind: linked_rows(manifest, tried.known, own, held[REPORT]) for kind, own in held.items() if kind != REPORT
    }
    both = {what: [first_swapped(texts, what) for texts in reports] for what in SWAPS}
    # Every text is embedded once, however many records and words it stands for.
    place = {
        text: n for n, text in enumerate(dict.fromkeys(t for some in both.values() for two in some if two for t in two))
    }
    if not place:
        return
    z = {name: F.normalize(embed_texts(run, list(place)), dim=1) for name, run in tried.arms.items()}
    for what, kind in product(SWAPS, linked):
        pairs = [(int(record), *two) for record, report in linked[kind] if (two := both[what][int(report)])]
        if not pairs:
            continue
        records = [record for record, _, _ in pairs]
        said, changed = ([place[text] for text in texts] for texts in list(zip(*pairs, strict=True))[1:])
        measured: dict[str, Measured] = {}
        for name, texts in z.items():
            nearer = (tried.sides[name][kind].z[records] * (texts[said] - texts[changed])).sum(1).sign()
            measured[name] = QueryValues({"accuracy": (nearer.double().numpy() + 1) / 2})
        asking = patient[held[kind].rows[records]]
        about = Queries(f"{kind} to report or its opposite: {what}", len(pairs), len(np.unique(asking)), 2)
        yield Trial(about, {**measured, CHANCE: QueryValues({"accuracy": np.full(len(pairs), 0.5)})}, asking)
