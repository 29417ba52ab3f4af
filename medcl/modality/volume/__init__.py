"""Volumes: CT, MR and PET in RAS+ and mm, their slices and crops."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.baselines import Baseline
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Rows, Source
from medcl.modality.spatial import SpatialWing
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.storing import DecodedRecord, LabelMap
from medcl.modality.volume.config import VolumeConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from medcl.modality.spec import VolumeCard
    from medcl.modality.views import Compose
    from medcl.modality.volume.prepare import Settings
    from medcl.modality.volume.samples import VolumePatches
    from medcl.modality.volume.store import VolumeStore
    from medcl.modality.volume.tiles import PatchDraws, VolumeTiles


class VolumeWing(SpatialWing):
    """See `Wing`."""

    name = "volume"
    plural = "volumes"
    examples = "volumes (CT, MR, PET)"
    unit = "volume"
    sample = "patches"
    no_sample = "none of its slices is kept"
    unlinked = "volumes have no partner"
    columns = ("part", "modality", "dtype", "flags", "shape")
    shows_samples = False
    takes_arrays = True
    has_slices = True
    first_recipes = {"": "volume_simclr"}
    config = VolumeConfig

    @property
    def spec(self) -> type["VolumeCard"]:
        """Of trained encoders."""
        from medcl.modality.spec import VolumeCard

        return VolumeCard

    def check(self, config: VolumeConfig, encoder: ImageEncoderConfig) -> None:
        """Refuse an encoder that takes other dimensions than patches have."""
        from medcl.modality.volume.prepare import slice_axis

        dims = 3 if slice_axis(config) is None else 2
        self.check_dims(encoder, dims, f"patches of data.size {list(config.size)}")

    def default_encoder(self, config: VolumeConfig) -> ImageEncoderConfig:
        """A U-Net of slices where one side of a patch is a voxel, else of volumes."""
        return ImageEncoderConfig(dims=2 if 1 in config.size else 3)

    def sketch(self, config: VolumeConfig, encoder: ImageEncoderConfig) -> "tuple[nn.Module, tuple[int, ...]]":
        """A network of patches of one value a voxel."""
        from medcl.modality.spatial.encoders import build
        from medcl.modality.volume.prepare import of_patch

        return build(encoder, 1), (1, *of_patch(config.size, config))

    def decode(self, source: Source, config: "Settings", masks: Sequence[LabelMap | None]) -> DecodedRecord:
        """Decode one volume."""
        from medcl.modality.volume.prepare import decode

        return decode(source, config, masks)

    def original(self, source: Source, axis: int | None) -> list[Any]:
        """A volume or its slices, which are views of it."""
        from medcl.modality.volume.original import read_original

        # What slices show is compared, and air beside the field of view shows nothing.
        volume, _ = read_original(source, nan="minimum")
        if axis is None:
            return [volume.data]
        count, known = volume.data.shape[axis + 1], int(source.row["shape"][axis])
        if count != known:
            raise UnreadableError(f"{count} slices, not {known} as when it was scanned: scan the archive again")
        return list(np.moveaxis(volume.data, axis + 1, 0))

    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """Slices."""
        from medcl.modality.volume.original import read_original
        from medcl.modality.volume.thumbnail import ENDS, PLANES, slice_image, window_of

        volume, _ = read_original(source, nan="minimum")
        window = window_of(volume, str(source.row["modality"]))
        made = []
        for piece in pieces:
            try:
                grey, spacing = slice_image(volume, None if piece is None else int(piece), axis, window)
            except IndexError as error:
                made.append(Miniature(missing=str(error)))
            else:
                number = volume.grid.shape[axis] // 2 if piece is None else int(piece)
                label = f"{PLANES[axis]} slice {number} (0 to {volume.grid.shape[axis] - 1})"
                width = grey.shape[1] * spacing[1]
                made.append(Miniature(grey, spacing, label=label, ends=ENDS[axis], width=width))
        return made

    def samples(self, store: "VolumeStore", manifest: Rows, config: VolumeConfig) -> "VolumeTiles":
        """All slices, or patches side by side."""
        from medcl.modality.volume.samples import VolumePatches
        from medcl.modality.volume.tiles import VolumeTiles

        return VolumeTiles(VolumePatches(store, manifest, config))

    def pieces(self, record: Any, config: VolumeConfig) -> "Tensor":
        """The tiles of a prepared volume."""
        from medcl.modality.volume.tiles import pieces

        return pieces(record, config)

    def draws(self, store: "VolumeStore", manifest: Rows, config: VolumeConfig) -> "PatchDraws":
        """Patches anywhere in a volume."""
        from medcl.modality.volume.samples import VolumePatches
        from medcl.modality.volume.tiles import PatchDraws

        return PatchDraws(VolumePatches(store, manifest, config))

    def levels(self, store: "VolumeStore", manifest: Rows, config: VolumeConfig) -> "VolumePatches":
        """Patches anywhere in a volume."""
        from medcl.modality.volume.samples import VolumePatches

        return VolumePatches(store, manifest, config)

    def views(self, config: ImageViewsConfig, data: VolumeConfig, store: "VolumeStore | None") -> "Compose":
        """Random changes of patches: lengths are in mm where all volumes have one spacing, else in voxels."""
        from medcl.modality.spatial.views import build
        from medcl.modality.volume.prepare import of_patch

        edges = of_patch(data.spacing or (None, None, None), data)
        known = tuple(length for length in edges if length is not None)
        return build(config, known if len(known) == len(edges) else None)

    def baselines(self, config: VolumeConfig) -> dict[str, Baseline]:
        """Statistics of the values of voxels."""
        from medcl.modality.volume.baselines import baselines

        return baselines(config)
