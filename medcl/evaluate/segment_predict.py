"""From a volume to its predicted label map: all slices, or windows over the volume, averaged where they overlap."""

from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.modality.volume.samples import VolumePatches

Labels = NDArray[np.uint8]
WINDOWS_AT_A_TIME = 16
OVERLAPS = (0.5, 0.25)
"""Of slices and of cubes, where the configuration leaves it open: half costs cubes 8 times their volume."""


def overlap_of(overlap: float | None, axis: int | None) -> float:
    """The share by which neighbouring windows overlap.

    Args:
        overlap: of the configuration; None leaves it open.
        axis: across which slices are cut, None for cubes.
    """
    return OVERLAPS[axis is None] if overlap is None else overlap


@torch.inference_mode()
def predict(
    network: nn.Module, patches: VolumePatches, number: int, overlap: float | None, device: torch.device
) -> Labels:
    """Predict the label map of a prepared volume.

    Args:
        network: (B, C, *space) to logits (B, n_classes, *space); it is run in evaluation mode and left as it was.
        patches: whose size and axis the windows have.
        number: of the volume among them.
        overlap: of neighbouring windows, as a share; None as `overlap_of` has it.
        device: where the network lies.

    Returns:
        (x, y, z), on the prepared grid.
    """
    from monai.inferers.utils import sliding_window_inference

    was_training = network.training
    network.eval()
    volume, axis = patches.volume(number), patches.axis
    images = volume[None] if axis is None else volume.movedim(axis + 1, 0)
    window = tuple(side for i, side in enumerate(patches.size) if i != axis)
    infer = partial(
        sliding_window_inference,
        roi_size=window,
        sw_batch_size=WINDOWS_AT_A_TIME,
        predictor=network,
        overlap=overlap_of(overlap, axis),
        sw_device=device,
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        try:
            logits = infer(images, device=device)
        except torch.cuda.OutOfMemoryError:
            # The windows alone fit: the logits of a whole CT are then added up beside the device.
            logits = infer(images, device=torch.device("cpu"))
    network.train(was_training)
    classes = cast(Tensor, logits).argmax(dim=1).to(torch.uint8)
    labels: Labels = (classes[0] if axis is None else classes.movedim(0, axis)).cpu().numpy()
    return labels
