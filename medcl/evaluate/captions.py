"""How well a run foresees the report of a record, word by word, beside the record of another patient."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor

from medcl.archive.schema import Kind
from medcl.embed import encoders
from medcl.embed.encoders import device
from medcl.evaluate.multimodal_space import MultimodalRun, reports_of
from medcl.evaluate.multimodal_trials import Trial, Tried
from medcl.evaluate.relevance import linked_rows
from medcl.evaluate.results_tables import Queries
from medcl.modality import plural
from medcl.modality.report.prepare import ranges
from medcl.networks.captioner import Captioner
from medcl.networks.multimodal import REPORT
from medcl.stats.intervals import Measured
from medcl.stats.perplexity import Surprise
from medcl.stats.ranking import Ints

AT_ONCE = 32
"""Reports at a time."""


def captions(tried: Tried) -> Iterator[Trial]:
    """The perplexity of reports given their record, and given a record of another patient, of runs that have a decoder.

    A record is its first sample. Perplexities are of tokens, and compare runs of one tokenizer only.
    """
    held, patient = tried.held, tried.manifest.column("patient")
    for kind in [one for one in held if one != REPORT and REPORT in held]:
        writing = {name: run for name, run in tried.arms.items() if kind in run.card.captioners}
        linked = linked_rows(tried.manifest, tried.known, held[kind], held[REPORT])
        pairs = np.stack([held[one].rows[linked[:, n]] for n, one in enumerate((kind, REPORT))], axis=1)
        of = patient[pairs[:, 0]]
        if not writing or len(np.unique(of)) < 2:
            continue
        wrong = pairs[_of_another(of), 0]
        measured: dict[str, Measured] = {
            name: _surprise(tried, run, kind, pairs, wrong) for name, run in writing.items()
        }
        about = Queries(f"words of the report of {plural(kind)}", len(pairs), len(np.unique(of)), 1)
        yield Trial(about, measured, of)


def _of_another(patients: Ints) -> Ints:
    """For each place one of the next patient, other ones for other places where that patient has several."""
    _, of, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order, starts = np.argsort(of, kind="stable"), np.cumsum(counts) - counts
    number = np.empty_like(order)
    number[order] = np.arange(len(of)) - starts[of[order]]
    other = (of + 1) % len(counts)
    return order[starts[other] + number % counts[other]]


def _surprise(tried: Tried, run: MultimodalRun, kind: Kind, pairs: Ints, wrong: Ints) -> Surprise:
    manifest, store, config = tried.manifest, tried.store, tried.config
    card, rows = encoders.config_of(run.card.sides[kind]), np.unique(pairs[:, 0])
    every = manifest.of_kind(kind)
    parts = encoders.samples_in(encoders.prepared(every, card, store, config.jobs), manifest.select(rows), card)
    reports, of = np.unique(pairs[:, 1], return_inverse=True)
    texts = reports_of(run, manifest.of_kind(REPORT), manifest.select(reports), store, config.text, config.jobs)
    encoder = run.encoder.to(device()).eval()
    captioner = cast(Captioner, encoder.captioners[kind])

    def cells(record: Ints) -> Tensor:
        firsts = np.array([parts.samples_of(int(one))[0] for one in np.searchsorted(rows, record)])
        return encoder.encode(kind, parts.__getitems__(firsts.tolist())["x"].to(device()))[0]

    sums, tokens = np.zeros((2, len(pairs))), np.zeros(len(pairs))
    # A text of several draws, such as its sentences, is all of them.
    first, behind = (np.searchsorted(texts.rows, of, side) for side in ("left", "right"))
    places, numbers = np.repeat(np.arange(len(pairs)), behind - first), ranges(first, behind - first)
    with torch.inference_mode():
        for start in range(0, len(places), AT_ONCE):
            own = places[start : start + AT_ONCE]
            ids = texts.read(numbers[start : start + AT_ONCE]).to(device())
            for n, record in enumerate((pairs[own, 0], wrong[own])):
                lost, number = captioner.surprise(ids, cells(record))
                np.add.at(sums[n], own, lost.double().cpu().numpy())
            np.add.at(tokens, own, number.cpu().numpy())
    return Surprise({"perplexity": sums[0], "perplexity_elsewhere": sums[1]}, tokens)
