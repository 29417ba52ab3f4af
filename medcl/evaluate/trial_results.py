"""Results of trials: the mean of the queries of each arm, its interval over patients, and differences of arms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.documents import plain
from medcl.evaluate.assemble import left_out, made_with
from medcl.evaluate.cells import fingerprint
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_trials import CHANCE, Trial
from medcl.evaluate.repeats import Repeats
from medcl.evaluate.results import ArmInfo, Fraction, Results, ResultTarget, Score, Split
from medcl.evaluate.results_tables import Grounded, Procedure
from medcl.evaluate.summary import Tested, bootstrap, differences, scores_of, summaries, table_of
from medcl.modality import plural
from medcl.stats.retrieval import Ints

LABEL = "0"
"""The one label fraction: no labels."""


def results_of_trials(
    trials: Sequence[Trial],
    between: Sequence[Score],
    infos: Sequence[ArmInfo],
    repeats: Repeats,
    manifest: Manifest,
    tested: Mapping[Kind, Ints],
    config: MultimodalEvaluateConfig,
    pretraining: Mapping[str, Any],
    notes: Sequence[str],
    grounding: Sequence[Grounded] = (),
) -> Results:
    """The results of trials.

    Args:
        trials: what was asked of every arm.
        between: scores without an interval, such as those of the modality gap.
        infos: the arms, chance the last.
        repeats: which arm each run is a repeat of; what is in none, such as chance, is the same beside all repeats.
        manifest: of the records.
        tested: rows of the records of each kind.
        config: of the evaluation.
        pretraining: configuration of each run.
        notes: sentences for the page.
        grounding: images with the maps of phrases over them.
    """
    scores, summary, gaps, said = [], [], [], list(notes)
    count = 1 + max(number for _, number in repeats.values())
    for trial in trials:
        protocol = trial.queries.protocol
        measured = [
            Tested(protocol, arm, LABEL, repeat, config.seed, 0, one, trial.classes, name)
            for name, one in trial.measured.items()
            for arm, repeat in _places(name, repeats, count)
        ]
        found, undefined = scores_of(measured)
        table = table_of(found, bootstrap(measured, {0: trial.patient}, config.bootstrap, config.seed))
        scores += found
        # What a random order is expected to find is known: only its difference to a run has an interval.
        summary += [
            replace(row, low=math.nan, high=math.nan) if row.arm == CHANCE else row
            for row in summaries(table, trial.queries.patients)
        ]
        gaps += differences(table, infos, trial.queries.patients)
        said += [f"{protocol}: {note}" for note in left_out(undefined)]
        if trial.queries.without_hit:
            said.append(f"{protocol}: {trial.queries.without_hit:,} queries have no hit and are not counted.")
    between = [
        replace(score, arm=arm, repeat=repeat)
        for score in between
        for arm, repeat in _places(score.arm, repeats, count)
    ]
    table, rows = table_of(between), np.concatenate(list(tested.values()))
    return Results(
        target=ResultTarget("retrieval", "retrieval"),
        arms=tuple(infos),
        protocols=tuple(dict.fromkeys(score.protocol for score in (*scores, *between))),
        metric=f"recall@{max(config.ranks)}",
        config=plain({"evaluation": asdict(config), "pretraining": dict(pretraining)}),
        splits={
            "test": Split(
                len(np.unique(manifest.column("patient")[rows])),
                len(rows),
                {plural(kind): len(own) for kind, own in tested.items()},
                fingerprint(manifest.column("record_id")[rows]),
            )
        },
        notes=(*said, *([f"Tested on the split {config.split}."] if config.split != "test" else [])),
        fractions=(Fraction(LABEL, 0, 0),),
        procedure=Procedure(config.seed, count, config.bootstrap),
        scores=(*scores, *between),
        summary=(*summary, *summaries(table, 0)),
        differences=(*gaps, *differences(table, infos, 0)),
        queries=tuple(trial.queries for trial in trials),
        grounding=tuple(grounding),
        **made_with(),
    )


def _places(name: str, repeats: Repeats, count: int) -> list[tuple[str, int]]:
    """Arm and repeat of a run, or all repeats of what has none."""
    return [repeats[name]] if name in repeats else [(name, repeat) for repeat in range(count)]
