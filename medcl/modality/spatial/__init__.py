"""What images and volumes share: their encoders, views and networks in two and in three dimensions."""

from typing import TYPE_CHECKING, Any

from medcl.errors import UsageError
from medcl.modality.base import Wing, frozen, plain
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig

if TYPE_CHECKING:
    from torch import nn

MODALITIES = ("ct", "mr", "pt", "xray", "mg", "us", "xa", "nm", "es", "op", "photo", "image")
"""What the manifest may call their modality: of most, one object is a volume and another an image."""


class SpatialWing(Wing):
    """See `Wing`."""

    reads_files = True
    encoder_config = ImageEncoderConfig
    views_config = ImageViewsConfig

    def spec_of(self, encoder: ImageEncoderConfig, data: Any, store: Any, modality: str) -> Any:
        """What an encoder expects that is trained on prepared images, or patches of prepared volumes."""
        return self.spec(encoder, store.n_channels, modality, plain(data))

    def data_of(self, spec: Any) -> Any:
        """Samples as in pretraining."""
        return self.config(**frozen(spec.data))

    def encoder(self, spec: Any, samples: Any = None) -> "nn.Module":
        """A network with new random weights."""
        from medcl.modality.spatial.encoders import for_images

        network: nn.Module = spec.build()
        return for_images(network, spec.encoder.dims)

    def check_dims(self, encoder: ImageEncoderConfig, dims: int, samples: str) -> None:
        """Refuse an encoder that is invalid, or takes other dimensions than samples have.

        Raises:
            UsageError: with the field and its value.
        """
        from medcl.modality.spatial.encoders import check

        check(encoder, 1)
        if encoder.dims != dims:
            raise UsageError(f"encoder.dims: {encoder.dims}, but {samples} have {dims} dimensions")
