"""Grounding pictures of the pairs that were retrieved best and worst."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.embed import pieces
from medcl.evaluate import grounding
from medcl.evaluate.joint_results import Grounded
from medcl.evaluate.joint_space import Embedded, JointRun, device, tokenizer_of
from medcl.evaluate.marks import Ints
from medcl.modality.report.config import TextConfig
from medcl.modality.report.draws import draws
from medcl.networks.joint import REPORT
from medcl.show import pictures

_WORDS = 24  # of a phrase at most
_BLOCK = 1024  # pairs at a time


def ground(
    run: JointRun,
    manifest: Manifest,
    images: Embedded,
    reports: Embedded,
    linked: Ints,
    store: Path,
    output: Path,
    *,
    number: int,
    jobs: int = -1,
) -> list[tuple[Grounded, str, str]]:
    """Draw where pictures show what the reports say, for the pairs that were retrieved best and worst.

    Pairs are ordered by the rank of the picture among all tested ones when its report looks for it, then by their
    similarity; a report and a picture are shown once.

    Args:
        run: the encoder.
        manifest: readable records of all kinds.
        images: the tested pictures.
        reports: the tested reports.
        linked: (pairs, 2) numbers of pictures and reports that belong together.
        store: folder of prepared records.
        output: folder in which the overlays are written, below `grounding`.
        number: of pairs from each end.
        jobs: processes that prepare.

    Returns:
        (what is shown, the picture, the overlay) each, the pictures as data URIs; the best first.
    """
    own, ranks = _ranks(images, reports, linked)
    order = np.lexsort((-own, ranks))
    config = pieces.config_of(run.card.sides["image"])
    every = manifest.of_kind("image")
    parts = pieces.pieces(pieces.prepared(every, config, store, jobs), manifest.select(images.rows), config)
    tokenizer, text = tokenizer_of(run)
    record_ids, texts = manifest.column("record_id"), manifest.column("report")
    encoder, shown = run.encoder.to(device()), []
    for title, chosen in (("best", _apart(order, linked, number)), ("worst", _apart(order[::-1], linked, number))):
        for place, pair in enumerate(chosen, start=1):
            picture, report = linked[pair].tolist()
            phrase = _phrase(str(texts[reports.rows[report]]))
            x = parts.__getitems__(parts.windows_of(picture).tolist()[:1])["x"][0]
            tokens = torch.from_numpy(tokenizer([phrase], text.length)[0].astype(np.int64))
            cells = grounding.phrase_map(encoder, "image", x.to(device()), tokens.to(device()))
            record_id = str(record_ids[images.rows[picture]])
            file = Path("grounding") / grounding.file_name(record_id, [title, str(place)])
            ground_png = pictures.png(pictures.grey(x.numpy()))
            overlay = pictures.png(grounding.overlay(x.numpy(), cells))
            files.write(output / file, overlay, private=True)
            about = Grounded(
                title,
                phrase,
                record_id,
                int(ranks[pair]),
                float(own[pair]),
                float(cells.min()),
                float(cells.max()),
                str(file),
            )
            shown.append((about, pictures.data_uri(ground_png), pictures.data_uri(overlay)))
    return shown


def can_ground(run: JointRun) -> bool:
    """Whether the run has both pictures and reports."""
    return "image" in run.card.sides and REPORT in run.card.sides


def _ranks(images: Embedded, reports: Embedded, linked: Ints) -> tuple[NDArray[np.float32], Ints]:
    """Similarity of each pair, and the rank of its picture among all for its report; a block of pairs at a time."""
    own, ranks = [], []
    for start in range(0, len(linked), _BLOCK):
        picture, report = linked[start : start + _BLOCK].T
        similarity = reports.z[report] @ images.z.T
        own.append(similarity.gather(1, torch.from_numpy(picture.copy())[:, None]))
        ranks.append((similarity > own[-1]).sum(1) + 1)
    return torch.cat(own)[:, 0].numpy(), torch.cat(ranks).numpy().astype(np.int64)


def _apart(order: Ints, linked: Ints, number: int) -> list[int]:
    """The first pairs of an order that share neither picture nor report."""
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
