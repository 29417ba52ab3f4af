"""Grounding of the pairs that were retrieved best and worst."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.embed import encoders
from medcl.embed.encoders import device
from medcl.evaluate.multimodal_space import Embedded, MultimodalRun, tokenizer_of
from medcl.evaluate.results_tables import Grounded
from medcl.modality.report.config import TextConfig
from medcl.modality.report.text import draws
from medcl.networks.grounding import phrase_maps
from medcl.networks.multimodal import REPORT
from medcl.show.images import data_uri, grey, overlay, png, scale_of, with_colour_bar
from medcl.stats.retrieval import Ints

_WORDS = 24  # maximum length of a phrase
_BLOCK = 1024  # pairs at a time


def ground(
    run: MultimodalRun,
    manifest: Manifest,
    images: Embedded,
    reports: Embedded,
    linked: Ints,
    store: Path,
    output: Path,
    arm: str,
    *,
    number: int,
    jobs: int = -1,
) -> list[tuple[Grounded, str, str]]:
    """Draw where images show what the reports say, for the pairs that were retrieved best and worst.

    Pairs, `linked` (pairs, 2) numbers of images and reports that belong together, are ordered by the rank of the image
    among all tested ones when its report is the query, then by their similarity; a report and an image are shown once.
    So many pairs from each end are written as overlays, below `grounding` of the output, under the name of the arm.

    Returns:
        (description, image, overlay) of each, as data URIs; the best first.
    """
    own, ranks = _ranks(images, reports, linked)
    order = np.lexsort((-own, ranks))
    config = encoders.config_of(run.card.sides["image"])
    every = manifest.of_kind("image")
    parts = encoders.samples_in(encoders.prepared(every, config, store, jobs), manifest.select(images.rows), config)
    text = tokenizer_of(run)
    record_ids, texts = manifest.column("record_id"), manifest.column("report")
    encoder, shown = run.encoder.to(device()), []
    for title, chosen in (("best", _apart(order, linked, number)), ("worst", _apart(order[::-1], linked, number))):
        for place, pair in enumerate(chosen, start=1):
            image, report = linked[pair].tolist()
            phrase = _phrase(str(texts[reports.rows[report]]))
            x = parts.__getitems__(parts.samples_of(image).tolist()[:1])["x"][0]
            tokens = torch.from_numpy(text.encode([phrase], text.length).astype(np.int64))
            cells = phrase_maps(encoder, "image", x[None].to(device()), tokens.to(device()))[0]
            record_id = str(record_ids[images.rows[image]])
            file = Path("grounding") / (files.safe_name(f"{arm}_{title}_{place}_{record_id}") + ".png")
            ground_png = png(grey(x.numpy()))
            drawn = with_colour_bar(png(overlay(x.numpy(), cells)), *scale_of(cells))
            files.write(output / file, drawn, private=True)
            numbers = int(ranks[pair]), float(own[pair]), float(cells.min()), float(cells.max())
            about = Grounded(arm, title, phrase, record_id, *numbers, str(file))
            shown.append((about, data_uri(ground_png), data_uri(drawn)))
    return shown


def can_ground(run: MultimodalRun) -> bool:
    """Whether the run has both images and reports."""
    return "image" in run.card.sides and REPORT in run.card.sides


def _ranks(images: Embedded, reports: Embedded, linked: Ints) -> tuple[NDArray[np.float32], Ints]:
    """Similarity of each pair, and the rank of its image among all for its report; a block of pairs at a time."""
    own, ranks = [], []
    for start in range(0, len(linked), _BLOCK):
        image, report = linked[start : start + _BLOCK].T
        similarity = reports.z[report] @ images.z.T
        own.append(similarity.gather(1, torch.from_numpy(image.copy())[:, None]))
        ranks.append((similarity > own[-1]).sum(1) + 1)
    return torch.cat(own)[:, 0].numpy(), torch.cat(ranks).numpy().astype(np.int64)


def _apart(order: Ints, linked: Ints, number: int) -> list[int]:
    """The first pairs of an order that share neither image nor report."""
    chosen: list[int] = []
    for pair in order.tolist():
        if len(chosen) == number:
            break
        if not any((linked[pair] == linked[one]).any() for one in chosen):
            chosen.append(pair)
    return chosen


def _phrase(text: str) -> str:
    """The first sentence of a report, in as many words as can be shown."""
    found = draws(text, TextConfig(draw="sentence"))
    words = (text if isinstance(found, str) else found[0]).split()
    return " ".join(words[:_WORDS])
