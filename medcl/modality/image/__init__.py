"""Images: radiographs and other images of no common geometry."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medcl.modality.baselines import Baseline
from medcl.modality.image.config import ImageConfig
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Source
from medcl.modality.spatial import SpatialWing
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig

if TYPE_CHECKING:
    from torch import nn

    from medcl.modality.image.prepare import ImageStore
    from medcl.modality.spec import ImageCard
    from medcl.modality.views import Compose

_WIDTH = 128  # pixels of the longer side of a thumbnail


class ImageWing(SpatialWing):
    """See `Wing`."""

    name = "image"
    plural = "images"
    examples = "images (JPEG, PNG, DICOM radiographs)"
    unit = "image"
    sample = "images"
    no_sample = "not prepared"
    unlinked = "images have no partner"
    columns = ("part",)
    shows_samples = True
    takes_arrays = True
    has_slices = False
    first_recipes = {"": "image_simclr", "report": "image_report_convirt"}
    config = ImageConfig

    @property
    def spec(self) -> type["ImageCard"]:
        """Of trained encoders."""
        from medcl.modality.spec import ImageCard

        return ImageCard

    def check(self, config: ImageConfig, encoder: ImageEncoderConfig) -> None:
        """Refuse an encoder that takes other than two dimensions."""
        self.check_dims(encoder, 2, "images")

    def default_encoder(self, config: ImageConfig) -> ImageEncoderConfig:
        """A ResNet."""
        return ImageEncoderConfig(name="resnet")

    def sketch(self, config: ImageConfig, encoder: ImageEncoderConfig) -> "tuple[nn.Module, tuple[int, ...]]":
        """A network of grey images of this size."""
        from medcl.modality.spatial.encoders import build

        return build(encoder, 1), (1, *config.size)

    def original(self, source: Source, axis: int | None) -> list[Any]:
        """An image, (C, rows, columns)."""
        from medcl.modality.formats import read_image

        return [read_image(source.file, source.format, source.part).data]

    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """The image, once for each piece."""
        from medcl.modality.formats import read_image

        width = width or _WIDTH
        image = read_image(source.file, source.format, source.part, at_least=width)
        low, high = image.window if image.window[1] > image.window[0] else (0.0, 1.0)
        # As many pixels as are shown, before numbers of 16 bits are scaled.
        step = max(1, max(image.data.shape[1:]) // (4 * width))
        shown = image.data[:, ::step, ::step].astype(np.float32)
        scaled = np.clip((np.nan_to_num(shown, nan=low) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
        return [Miniature(scaled[0] if len(scaled) == 1 else scaled.transpose(1, 2, 0))] * len(pieces)

    def views(self, config: ImageViewsConfig, data: ImageConfig, store: "ImageStore") -> "Compose":
        """Random changes of images."""
        from medcl.modality.spatial.views import build

        return build(config)

    def baselines(self, config: ImageConfig) -> dict[str, Baseline]:
        """The mean over 16 x 16 cells."""
        from medcl.modality.image.baselines import baselines

        return baselines(config)
