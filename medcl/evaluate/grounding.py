"""Grounding: the similarity of every cell of an image with a phrase, drawn over the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.embed import encoders
from medcl.embed.encoders import device
from medcl.errors import UsageError
from medcl.evaluate.multimodal_space import Embedded, MultimodalRun, tokenizer_of
from medcl.evaluate.results_tables import Grounded
from medcl.evaluate.retrieval import Ints
from medcl.modality.report.config import TextConfig
from medcl.modality.report.text import draws
from medcl.networks.multimodal import REPORT, MultimodalEncoder
from medcl.show.images import data_uri, grey, png

CIVIDIS = ((0, 34, 78), (59, 73, 108), (124, 123, 120), (187, 174, 107), (254, 232, 56))
"""From low to high: blue, grey, yellow. Lightness grows evenly, so that it reads the same to the colour-blind and in
print (Nuñez, Anderton and Renslow, 2018)."""
OPACITY = 0.5


@torch.inference_mode()
def phrase_map(encoder: MultimodalEncoder, kind: str, x: Tensor, tokens: Tensor) -> NDArray[np.float32]:
    """Cosine similarity of every cell of an image with a phrase, enlarged to the image.

    With a local projection the phrase is the mean of its words there; without one its projection, and the image's
    projection head is applied to each cell. The image is (C, rows, columns), as the encoder takes it, the tokens (L,).

    Returns:
        (rows, columns) from -1 to 1.

    Raises:
        UsageError: the side does not take images of 2 dimensions.
    """
    side = cast(Any, encoder.side(kind))
    if not hasattr(side, "grid") or x.ndim != 3:
        raise UsageError(f"grounding needs images of 2 dimensions; {kind!r} has the shape {tuple(x.shape)}")
    dense, _ = encoder.encode(kind, x[None])
    cells = encoder.project_dense(kind, dense)[0]
    similarity = (cells @ phrase_vector(encoder, tokens)).reshape(side.grid(x.shape[1:]))
    size = (int(x.shape[1]), int(x.shape[2]))
    larger = F.interpolate(similarity[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    values: NDArray[np.float32] = larger.float().cpu().numpy()
    return values


def phrase_vector(encoder: MultimodalEncoder, tokens: Tensor) -> Tensor:
    """The phrase (L,) as a vector of length 1 in the space of the cells."""
    dense, pooled = encoder.encode(REPORT, tokens[None])
    if not encoder.local:
        return encoder.project(REPORT, pooled)[0]
    words = encoder.project_dense(REPORT, dense)[0]
    keep = cast(Any, encoder.side(REPORT)).keep(tokens[None])[0]
    return F.normalize(words[keep].mean(0) if keep.any() else words.mean(0), dim=0)


def overlay(image: NDArray[np.float32], similarity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map (rows, columns) over an image (C, rows, columns) from 0 to 1: dark blue is low, yellow high."""
    low, high = float(similarity.min()), float(similarity.max())
    place = (similarity - low) / (high - low) if high > low else np.zeros_like(similarity)
    stops = np.linspace(0, 1, len(CIVIDIS))
    colours = np.stack([np.interp(place, stops, channel) for channel in np.array(CIVIDIS, dtype=np.float64).T], axis=2)
    return np.rint((1 - OPACITY) * grey(image).astype(np.float64) + OPACITY * colours).astype(np.uint8)


def file_name(record_id: str, words: Sequence[str] = ()) -> str:
    """A file name of a record id, which is a code or public, and of words; nothing that a path could be made of."""
    parts = ["".join(c if c.isalnum() else "-" for c in text).strip("-") for text in (*words, record_id)]
    return "_".join(part for part in parts if part)[:120] + ".png"


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
            tokens = torch.from_numpy(text.encode([phrase], text.length)[0].astype(np.int64))
            cells = phrase_map(encoder, "image", x.to(device()), tokens.to(device()))
            record_id = str(record_ids[images.rows[image]])
            file = Path("grounding") / file_name(record_id, [arm, title, str(place)])
            ground_png = png(grey(x.numpy()))
            drawn = png(overlay(x.numpy(), cells))
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
