"""Initialise an encoder with the weights of another stage or of another run."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from medcl import runs
from medcl.errors import UsageError
from medcl.modality.spatial.encoders import ImageEncoder
from medcl.modality.spatial.encoders.unet import UNet
from medcl.runs import Run


def initial_encoder(folder: Path, patients: Collection[int], salt: str, n_channels: int) -> ImageEncoder:
    """Load the encoder of a finished run to train it further.

    Args:
        folder: of that run.
        patients: codes of those who are trained on now.
        salt: fingerprint of the salt that coded them.
        n_channels: values a voxel of their volumes.

    Raises:
        UsageError: the encoder was trained on patients whom the new run does not train on, or it takes other
            volumes.
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
    """Refuse an initial encoder whose training patients the new run does not train on, and would not list.

    Args:
        run: of the initial encoder.
        patients: codes of those who are trained on now.
        salt: fingerprint of the salt that coded them.
        field: of the configuration, for messages.

    Raises:
        UsageError: it was trained on others.
    """
    seen = run.patients
    if seen.coded_with != salt or int(seen.among(np.array(sorted(patients))).sum()) < len(seen.hashes):
        raise UsageError(
            f"{field}: {run.folder} was trained on patients who are not in this run, which would not list them as "
            "training patients; take the same manifest and at least the same splits"
        )


def copy_weights(encoder: ImageEncoder, source: ImageEncoder) -> None:
    """Copy the weights of an encoder into another one, which may have more blocks of a decoder.

    Raises:
        UsageError: the two are different networks.
    """
    try:
        found = encoder.network.load_state_dict(source.network.state_dict(), strict=False)
    except RuntimeError as error:
        raise UsageError("encoder: differs from the network of the run that initialises it") from error
    more = [
        name for name in found.missing_keys if not (name.startswith("decoder.") and isinstance(encoder.network, UNet))
    ]
    if more or found.unexpected_keys:
        raise UsageError(
            f"encoder: differs from the network that initialises it in {', '.join((*more, *found.unexpected_keys))}"
        )
    if not isinstance(encoder.network, UNet):
        encoder.output.load_state_dict(source.output.state_dict())
