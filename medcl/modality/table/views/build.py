"""Views of tables by configuration."""

from collections.abc import Sequence

from medcl.modality.table.config import TableViewsConfig
from medcl.modality.table.views.corruption import Mix, Noise, ValueDropout, VariableDropout
from medcl.modality.views.base import View
from medcl.modality.views.compose import Compose
from medcl.modality.views.masks import TimestampMask


def build(config: TableViewsConfig, n_classes: Sequence[int]) -> Compose:
    """Make the views that a configuration switches on, in the order that it documents.

    Args:
        config: which views, and how strong.
        n_classes: (C,) classes of each variable of the samples; 0 for numbers.

    Returns:
        The views, with the mask.

    Raises:
        UsageError: a setting is out of its range.
    """
    views: list[View] = []
    if config.mix:
        views.append(Mix(config.mix))
    if config.noise:
        views.append(Noise(config.noise, [i for i, count in enumerate(n_classes) if not count]))
    if config.variable_dropout:
        views.append(VariableDropout(config.variable_dropout))
    if config.value_dropout:
        views.append(ValueDropout(config.value_dropout))
    mask = None
    if config.mask != "none":
        mask = TimestampMask(config.mask, config.mask_segments, config.mask_length, config.mask_probability)
    return Compose(views, mask)
