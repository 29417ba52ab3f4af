"""Decode one picture for the store: without its margins, in one range, at one size.

Sizes change by Pillow's HAMMING filter: where a picture becomes smaller, a pixel is the weighted mean of the area that
it covers and of what is around it, so that no fine pattern turns into another; where it becomes larger, numbers lie
between those of their neighbours. BOX, the plain mean, takes whole pixels only, which moves edges by up to half of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from medcl.archive.file_state import Scanned, require_unchanged
from medcl.engine.quiet import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality.formats import read_image
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.record import Image

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow has it
_EVERY_PIXEL = 4  # a JPEG is decoded at no less than this many times the size that is wanted


@dataclass(frozen=True)
class Job:
    """A picture to decode, and how.

    Args:
        number: of the picture in the store.
        record_id: of the manifest.
        scanned: its files, as they were when they were scanned.
        part: number of the frame.
        config: size, range, margins.
    """

    number: int
    record_id: str
    scanned: Scanned
    part: int
    config: ImageConfig


@dataclass(frozen=True)
class Outcome:
    """What became of a picture.

    Args:
        number: of the job.
        record_id: of the manifest.
        picture: (channels, rows, columns) uint8; None where it cannot be prepared.
        reason: why not.
    """

    number: int
    record_id: str
    picture: NDArray[np.uint8] | None = None
    reason: str = ""


def decode_all(jobs: Sequence[Job]) -> list[Outcome]:
    """Decode pictures."""
    with quiet():
        return [_decode(job) for job in jobs]


def died(job: Job) -> list[Outcome]:
    """The outcome of a picture whose decoding ended the process."""
    why = "damaged file, or too little memory: decoding it ends the reader"
    return [Outcome(job.number, job.record_id, reason=why)]


def _decode(job: Job) -> Outcome:
    config = job.config
    # Percentiles are those of the picture as it is.
    least = 0 if config.percentiles is not None else round(_EVERY_PIXEL * max(config.size) / (1 - 2 * config.border))
    try:
        require_unchanged(job.scanned)
        image = read_image(job.scanned.root / job.scanned.path, job.scanned.format, job.part, at_least=least)
        return Outcome(job.number, job.record_id, prepared(image, config))
    except Exception as error:
        return Outcome(job.number, job.record_id, reason=reason(error))


def prepared(image: Image, config: ImageConfig) -> NDArray[np.uint8]:
    """A picture as a store keeps it.

    Args:
        image: as decoded.
        config: size, range, margins.

    Returns:
        (channels, rows, columns) of `config.size`: 0 is black, 255 white.

    Raises:
        UnreadableError: every pixel has the same number, where percentiles are to tell black from white.
    """
    channels, rows, columns = image.data.shape
    across, along = (int(config.border * side) for side in (rows, columns))
    data = image.data[:, across : rows - across, along : columns - along]
    if not config.colour and channels == 3:
        data = np.tensordot(_GREY, data.astype(np.float32), axes=1)[None]
    low, high = _range(data, image, config)
    if data.dtype == np.uint8 and (low, high) == (0, 255):
        out = np.stack([_fitted(channel, config) for channel in data])
    else:
        scaled = np.clip((data.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low)), 0, 255)
        scaled = np.nan_to_num(scaled, copy=False)
        out = np.stack([_fitted(channel, config) for channel in scaled])
    if config.colour and len(out) == 1:
        out = np.repeat(out, 3, axis=0)
    return out


def _range(data: NDArray[Any], image: Image, config: ImageConfig) -> tuple[float, float]:
    """The numbers that become 0 and 1."""
    if config.percentiles is not None:
        low, high = (float(value) for value in np.nanpercentile(data, config.percentiles))
        if not high > low:
            raise UnreadableError(
                f"the percentiles {config.percentiles[0]:g} and {config.percentiles[1]:g} of its pixels are both "
                f"{low:g}: nothing to see, or data.percentiles must be wider"
            )
        return low, high
    low, high = image.window if config.window is None else config.window
    if not high > low:
        raise UnreadableError(f"its window is from {low:g} to {high:g}: set data.window or data.percentiles")
    return low, high


def _fitted(channel: NDArray[Any], config: ImageConfig) -> NDArray[np.uint8]:
    """One channel (rows, columns), uint8 or float32 up to 255, at the size that is wanted."""
    rows, columns = channel.shape
    height, width = config.size
    box = (0.0, 0.0, float(columns), float(rows))
    inner = (height, width)
    if config.fit == "pad":
        scale = min(height / rows, width / columns)
        inner = (max(1, min(height, round(rows * scale))), max(1, min(width, round(columns * scale))))
    elif config.fit == "crop":
        scale = max(height / rows, width / columns)
        over = (columns - width / scale) / 2, (rows - height / scale) / 2
        box = (max(0.0, over[0]), max(0.0, over[1]), columns - max(0.0, over[0]), rows - max(0.0, over[1]))
    way = Picture.Resampling.HAMMING
    small: NDArray[Any] = np.asarray(Picture.fromarray(channel).resize((inner[1], inner[0]), way, box=box))
    if small.dtype != np.uint8:
        small = (small + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    if inner == (height, width):
        return small
    out = np.zeros((height, width), dtype=np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    out[top : top + inner[0], left : left + inner[1]] = small
    return out
