"""Views of images and volumes by configuration: `build` makes what a YAML file asks for."""

from medcl.modality.spatial.config import ImageViewsConfig
from medcl.modality.spatial.views.affine import Affine, Elastic, ResizedCrop
from medcl.modality.spatial.views.erasing import Cutout, Inpainting, LocalShuffle
from medcl.modality.spatial.views.intensity import Blur, Brightness, Clip, Contrast, Gamma, Noise
from medcl.modality.spatial.views.space import Flip, Geometry, Rotate90, Spacing, SpatialView
from medcl.modality.views import Compose, View

SAME = (1.0, 1.0)


def geometry(config: ImageViewsConfig, spacing: Spacing | None = None) -> Geometry:
    """Make the views in space that a configuration switches on.

    The crop comes first: its `start` and `size` are shares of the original image.

    Args:
        config: which views, and how strong.
        spacing: edge lengths of a voxel (mm), one an axis; without it they are all 1, and lengths in voxels.

    Returns:
        The chain, which also moves label maps and points.

    Raises:
        UsageError: when a setting is out of its range.
    """
    views: list[SpatialView] = []
    if config.crop_side != SAME or config.crop_depth != SAME or config.crop_ratio != SAME:
        views.append(ResizedCrop(config.crop_side, config.crop_ratio, config.crop_depth, config.crop_margin))
    if config.flip:
        views.append(Flip(config.flip_axes, config.flip))
    if config.rotate90:
        views.append(Rotate90(config.rotate90))
    if config.rotation or config.tilt or config.scale != SAME or config.shear or config.translation:
        views.append(
            Affine(config.rotation, config.tilt, config.scale, config.shear, config.translation, spacing=spacing)
        )
    if config.elastic:
        views.append(Elastic(config.elastic, config.elastic_points, spacing=spacing))
    return Geometry(tuple(views), config.padding)


def build(config: ImageViewsConfig, spacing: Spacing | None = None) -> Compose:
    """Make the views that a configuration switches on, in the order that it documents.

    Args:
        config: which views, and how strong.
        spacing: edge lengths of a voxel (mm), one an axis; without it they are all 1, and lengths in voxels.

    Returns:
        The views of batches (B, C, H, W) or (B, C, X, Y, Z).

    Raises:
        UsageError: when a setting is out of its range.
    """
    views: list[View] = []
    chain = geometry(config, spacing)
    if chain.views:
        views.append(chain)
    if config.contrast != SAME:
        views.append(Contrast(config.contrast))
    if config.brightness:
        views.append(Brightness(config.brightness))
    if config.gamma != SAME:
        views.append(Gamma(config.gamma, config.gamma_window))
    if config.blur != (0, 0):
        views.append(Blur(config.blur, spacing=spacing))
    if config.noise:
        views.append(Noise(config.noise))
    if config.clip is not None:
        views.append(Clip(config.clip))
    if config.shuffle:
        views.append(LocalShuffle(config.shuffle_side, config.shuffle))
    if config.inpainting:
        views.append(Inpainting(config.inpainting, config.inpainting_side, window=config.inpainting_window))
    if config.cutout:
        views.append(Cutout(config.cutout, config.cutout_side, value=config.cutout_value))
    return Compose(views)
