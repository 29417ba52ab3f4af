"""Images: radiographs and other images of no common geometry."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medcl.errors import UsageError
from medcl.modality.base import Miniature, Training, frozen, plain
from medcl.modality.image.config import ImageConfig
from medcl.modality.rows import Rows, Source
from medcl.modality.sampling import Numbered
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.storing import DecodedRecord, LabelMap, Preparation, StoredArrays, StoreIndex

if TYPE_CHECKING:
    from torch import nn

    from medcl.modality.image.prepare import ImageStore
    from medcl.modality.image.samples import ImageSamples
    from medcl.modality.spec import ImageCard
    from medcl.modality.views import Compose

_WIDTH = 128  # pixels of the longer side of a thumbnail


class ImageWing:
    """See `medcl.modality.base.Wing`."""

    name = "image"
    plural = "images"
    examples = "images (JPEG, PNG, DICOM radiographs)"
    unit = "image"
    sample = "images"
    no_sample = "not prepared"
    unlinked = "images have no partner"
    columns = ("part",)
    reads_files = True
    shows_samples = True
    has_slices = False
    config = ImageConfig
    encoder_config = ImageEncoderConfig
    views_config = ImageViewsConfig

    @property
    def index(self) -> StoreIndex:
        """Of its stores."""
        from medcl.modality.image.prepare import INDEX

        return INDEX

    def default_encoder(self, config: ImageConfig) -> ImageEncoderConfig:
        """A ResNet."""
        return ImageEncoderConfig(name="resnet")

    @property
    def spec(self) -> type["ImageCard"]:
        """Of trained encoders."""
        from medcl.modality.spec import ImageCard

        return ImageCard

    def check(self, config: ImageConfig, encoder: ImageEncoderConfig) -> None:
        """Refuse an encoder that takes other than two dimensions."""
        from medcl.modality.spatial.encoders import check

        check(encoder, 1)
        if encoder.dims != 2:
            raise UsageError(f"encoder.dims: {encoder.dims}, but images have 2 dimensions")

    def sketch(self, config: ImageConfig, encoder: ImageEncoderConfig) -> "tuple[nn.Module, tuple[int, ...]]":
        """A network of grey images of this size."""
        from medcl.modality.spatial.encoders import build

        return build(encoder, 1), (1, *config.size)

    def is_published(self, encoder: ImageEncoderConfig) -> bool:
        """No: all begin with random weights."""
        return False

    def completed(self, config: ImageConfig, manifest: Rows, training: Training) -> ImageConfig:
        """The configuration: it leaves nothing to the archive."""
        return config

    def preparation(self, manifest: Rows, config: ImageConfig) -> Preparation:
        """How images are decoded."""
        from medcl.modality.image.prepare import preparation

        return preparation(manifest, config)

    def decode(self, source: Source, config: ImageConfig, masks: Sequence[LabelMap | None]) -> DecodedRecord:
        """Decode one image."""
        from medcl.modality.image.prepare import decode

        return decode(source, config)

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

    def opened(self, stored: StoredArrays) -> "ImageStore":
        """Prepared images."""
        from medcl.modality.image.prepare import ImageStore

        return ImageStore.of(stored)

    def samples(self, store: "ImageStore", manifest: Rows, config: ImageConfig) -> "ImageSamples":
        """Whole images."""
        from medcl.modality.image.samples import ImageSamples

        return ImageSamples(store, manifest, config)

    def draws(self, store: "ImageStore", manifest: Rows, config: ImageConfig) -> Numbered:
        """The image of a record."""
        return Numbered(self.samples(store, manifest, config))

    def levels(self, store: "ImageStore", manifest: Rows, config: ImageConfig) -> None:
        """None: a record is an image."""
        return

    def views(self, config: ImageViewsConfig, data: ImageConfig, store: "ImageStore") -> "Compose":
        """Random changes of images."""
        from medcl.modality.spatial.views import build

        return build(config)

    def spec_of(
        self, encoder: ImageEncoderConfig, data: ImageConfig, store: "ImageStore", modality: str
    ) -> "ImageCard":
        """What an encoder expects that is trained on prepared images."""
        return self.spec(encoder, store.n_channels, modality, plain(data))

    def data_of(self, spec: "ImageCard") -> ImageConfig:
        """Images as in pretraining."""
        return ImageConfig(**frozen(spec.data))

    def encoder(self, spec: "ImageCard") -> "nn.Module":
        """A network with new random weights."""
        from medcl.modality.spatial.encoders import for_images

        return for_images(spec.build(), spec.encoder.dims)
