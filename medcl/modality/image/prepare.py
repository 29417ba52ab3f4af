"""How images are decoded for the store, without margins, in one range, at one size; and the store, opened for reading.

A store is one array (images, channels, rows, columns) uint8, 0 black and 255 white. Each image is a
block of its own; the index says which record lies where.

Sizes change by Pillow's HAMMING filter: where an image becomes smaller, a pixel is the weighted mean of the area that
it covers and of what is around it, so that no fine pattern turns into another; where it becomes larger, numbers lie
between those of their neighbours. BOX, the plain mean, takes whole pixels only, which moves edges by up to half of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image as Pillow

from medcl.errors import MedclError, UnreadableError, UsageError
from medcl.modality.formats import read_image
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.record import Image
from medcl.modality.rows import Rows, Source
from medcl.modality.storing import Appended, DecodedRecord, Preparation, PreparedRecords, StoredArrays, StoreIndex

VERSION = 1
INDEX = StoreIndex("images", b"medcl images", VERSION, pa.schema([("record_id", pa.string()), ("place", pa.int64())]))
"""`about`: key, size, n_channels, quarantine."""
# A block is one image, so that no other is decompressed with it; a chunk is what is written at once.
LAYOUT = Appended("pictures.b2nd", "", "place", "LZ4", False, block=1, blocks=16)
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageStore(PreparedRecords):
    """Prepared images, opened for reading; they are numbered in the order of the manifest.

    Args:
        size: rows and columns of every image.
        n_channels: 1 (grey) or 3 (red, green, blue).
        place: (R,) of each in the array.
    """

    size: tuple[int, int]
    n_channels: int
    place: Ints

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Images that `prepare` has published."""
        table, about = stored.columns, stored.about
        rows, columns = about["size"]
        return cls(
            **cls.shared(stored),
            size=(rows, columns),
            n_channels=about["n_channels"],
            place=table["place"].to_numpy(),
        )

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} images"

    def read(self, records: Ints | Sequence[int]) -> NDArray[np.uint8]:
        """Images, read in the order in which they lie on the disk.

        Args:
            records: (B,) numbers of images.

        Returns:
            (B, channels, rows, columns): 0 is black, 255 white.

        Raises:
            MedclError: there is no such image.
        """
        numbers = np.asarray(records, dtype=np.int64)
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(self)):
            raise MedclError(f"{self.folder}: image {int(numbers.max())} of {len(self)}")
        images = np.empty((len(numbers), self.n_channels, *self.size), dtype=np.uint8)
        places = self.place[numbers]
        for i in np.argsort(places, kind="stable").tolist():
            self.stored.read_into(images[i : i + 1], LAYOUT.name, (int(places[i]), 0, 0, 0))
        return images


opened = ImageStore.of


_FITS = ("pad", "crop", "stretch")
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow has it
_EVERY_PIXEL = 4  # a JPEG is decoded at no less than this many times the size that is wanted
_CHUNK = 16


def check(config: ImageConfig) -> None:
    """Refuse invalid settings.

    Raises:
        UsageError: with the field and its value.
    """
    if len(config.size) != 2 or min(config.size) < 1:
        raise UsageError(f"data.size {list(config.size)}: rows and columns in pixels, such as [224, 224]")
    if config.fit not in _FITS:
        raise UsageError(f"data.fit {config.fit!r} is none of {', '.join(_FITS)}")
    if not 0 <= config.border < 0.5:
        raise UsageError(f"data.border {config.border:g}: a share of each side, from 0 to below 0.5")
    if config.window is not None and config.percentiles is not None:
        raise UsageError("data.window and data.percentiles both say what becomes 0 and 1: set one of them")
    if config.window is not None and not (len(config.window) == 2 and config.window[0] < config.window[1]):
        raise UsageError(f"data.window {list(config.window)}: the lowest and the highest value, in this order")
    if config.percentiles is not None:
        given = list(config.percentiles)
        if len(given) != 2 or not 0 <= given[0] < given[1] <= 100:
            raise UsageError(f"data.percentiles {given}: two between 0 and 100, the lower first")
    if config.largest < 0:
        raise UsageError(f"data.largest {config.largest:g}: GB, or 0 for no limit")


def preparation(manifest: Rows, config: ImageConfig) -> Preparation:
    """See `Wing.preparation`."""
    check(config)
    ends = [None if pair is None else list(pair) for pair in (config.window, config.percentiles)]
    channels = 3 if config.colour else 1
    about = {"size": list(config.size), "n_channels": channels}
    count = len(manifest)
    return Preparation(
        [VERSION, list(config.size), config.fit, config.border, config.colour, ends],
        config,
        LAYOUT,
        n_bytes=np.full(count, channels * config.size[0] * config.size[1], dtype=np.int64),
        memory=np.zeros(count),
        keyed=(*Preparation.keyed, "part"),
        about=lambda notes: about,
        chunk=_CHUNK,
        largest=config.largest,
        remedy="take a smaller data.size",
    )


def decode(source: Source, config: ImageConfig) -> DecodedRecord:
    """See `Wing.decode`."""
    # Percentiles are those of the image as it is.
    least = 0 if config.percentiles is not None else round(_EVERY_PIXEL * max(config.size) / (1 - 2 * config.border))
    image = read_image(source.file, source.format, source.part, at_least=least)
    return DecodedRecord({None: prepared(image, config)[None]}, {})


def prepared(image: Image, config: ImageConfig) -> NDArray[np.uint8]:
    """An image as a store keeps it.

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
    way = Pillow.Resampling.HAMMING
    small: NDArray[Any] = np.asarray(Pillow.fromarray(channel).resize((inner[1], inner[0]), way, box=box))
    if small.dtype != np.uint8:
        small = (small + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    if inner == (height, width):
        return small
    out = np.zeros((height, width), dtype=np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    out[top : top + inner[0], left : left + inner[1]] = small
    return out
