"""Training that begins with the weights of another stage or of another run."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from medcl import runs
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.build import ImageEncoder
from medcl.modality.spatial.encoders.unet import UNet
from medcl.runs import Run


def begin(folder: Path, patients: Collection[int], salt: str, n_channels: int) -> ImageEncoder:
    """Load the encoder of a finished run to train it further.

    Args:
        folder: of that run.
        patients: codes of those who are trained on now.
        salt: fingerprint of the salt that coded them.
        n_channels: values a voxel of their volumes.

    Raises:
        UsageError: the encoder has seen patients whom the new run does not train on, and would not remember, or it
            takes other volumes.
        MedclError: no finished run on volumes.
    """
    run = runs.load_volumes(folder)
    check_seen(run, patients, salt, "global_local.init")
    if run.card.n_channels != n_channels:
        raise UsageError(
            f"global_local.init: {folder} takes volumes of {run.card.n_channels} channel(s), these have {n_channels}"
        )
    return run.encoder.train()


def check_seen(run: Run[Any, Any], patients: Collection[int], salt: str, field: str) -> None:
    """Refuse to begin with what has seen patients whom the new run does not train on, and would not remember.

    Args:
        run: that is begun with.
        patients: codes of those who are trained on now.
        salt: fingerprint of the salt that coded them.
        field: of the configuration, for messages.

    Raises:
        UsageError: it has seen others.
    """
    seen = run.patients
    if seen.coded_with != salt or int(seen.among(np.array(sorted(patients))).sum()) < len(seen.hashes):
        raise UsageError(
            f"{field}: {run.folder} was trained on patients who are not among those of this run, which would "
            "not know of them; take the same manifest and at least the same splits"
        )


def take_up(encoder: ImageEncoder, begun: ImageEncoder) -> None:
    """Copy the weights of an encoder into another one, which may have more blocks of a decoder.

    Raises:
        UsageError: the two are different networks.
    """
    try:
        found = encoder.network.load_state_dict(begun.network.state_dict(), strict=False)
    except RuntimeError as error:
        raise UsageError("encoder: it is another network than the one it begins with") from error
    more = [
        name for name in found.missing_keys if not (name.startswith("decoder.") and isinstance(encoder.network, UNet))
    ]
    if more or found.unexpected_keys:
        raise UsageError(
            f"encoder: it is another network than the one it begins with: {', '.join((*more, *found.unexpected_keys))}"
        )
    if not isinstance(encoder.network, UNet):
        encoder.output.load_state_dict(begun.output.state_dict())
