"""From a volume to its predicted label map: all slices, or windows over the volume, averaged where they overlap."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.data.volume_dataset import VolumePatches

Labels = NDArray[np.uint8]
WINDOWS_AT_A_TIME = 16


@torch.inference_mode()
def predict(network: nn.Module, patches: VolumePatches, number: int, overlap: float, device: torch.device) -> Labels:
    """Predict the label map of a prepared volume.

    Args:
        network: (B, C, *space) to logits (B, n_classes, *space); it is run in evaluation mode and left as it was.
        patches: whose size and axis the windows have.
        number: of the volume among them.
        overlap: of neighbouring windows, as a share.
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
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        # Windows go to the device one batch after the other: the logits of a whole CT need not fit into its memory.
        logits = sliding_window_inference(
            images, window, WINDOWS_AT_A_TIME, network, overlap, sw_device=device, device="cpu"
        )
    network.train(was_training)
    classes = cast(Tensor, logits).argmax(dim=1).to(torch.uint8)
    labels: Labels = (classes[0] if axis is None else classes.movedim(0, axis)).numpy()
    return labels
