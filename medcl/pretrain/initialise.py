"""Initialise encoders with the weights of another stage, of another run, or of a file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor, nn

from medcl import runs, weights
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import UNet
from medcl.modality.spec import JointCard
from medcl.pretrain.inputs import is_run, side_in
from medcl.pretrain.recipe import InputConfig, Recipe
from medcl.runs import Run


def initialise(
    encoders: Mapping[str, nn.Module], recipe: Recipe, patients: Collection[int], salt: str, *, told: bool = True
) -> None:
    """Load what the inputs of a recipe start from.

    Args:
        encoders: of the inputs, changed in place.
        recipe: the whole.
        patients: codes of those who are trained on now.
        salt: fingerprint of the salt that coded them.
        told: whether what was found in files of weights is printed.

    Raises:
        UsageError: an encoder was trained on patients whom the new run does not train on, or is another network.
        MedclError: no finished run, or a damaged file.
    """
    for name, config in recipe.inputs.items():
        if not config.init:
            continue
        if is_run(config.init):
            run = runs.load(Path(config.init))
            if config.init != recipe.earlier.run:
                # The patients of a run that is continued are listed with those of this one.
                check_seen(run, patients, salt, f"inputs.{name}.init")
            side = side_in(run, config.modality, name)
            source = run.encoder.side(side) if isinstance(run.card, JointCard) else run.encoder
            copy_weights(encoders[name], source.state_dict(), f"inputs.{name}.encoder")
        else:
            load_file(encoders[name], config, name, told=told)


def check_seen(run: Run[Any, Any], patients: Collection[int], salt: str, field: str) -> None:
    """Refuse an initial encoder whose training patients the new run does not train on, and would not list.

    Args:
        run: of the initial encoder.
        patients: codes of those who are trained on now.
        salt: fingerprint of the salt that coded them.
        field: of the recipe, for messages.

    Raises:
        UsageError: it was trained on others.
    """
    seen = run.patients
    if seen.coded_with != salt or int(seen.among(np.array(sorted(patients))).sum()) < len(seen.hashes):
        raise UsageError(
            f"{field}: {run.folder} was trained on patients who are not in this run, which would not list them as "
            "training patients; take the same manifest and at least the same splits"
        )


def copy_weights(encoder: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy the weights of an encoder into another one, which may have more or fewer blocks of a decoder.

    Raises:
        UsageError: the two are different networks.
    """
    unet = isinstance(getattr(encoder, "network", None), UNet)
    # The map of another block has another width, and with it another linear map behind it.
    own = {name: value for name, value in state.items() if not (unet and name.startswith("output."))}
    try:
        found = encoder.load_state_dict(own, strict=False)
    except RuntimeError as error:
        raise UsageError(f"{where}: differs from the network that initialises it") from error
    spared = ("network.decoder.", "output.") if unet else ()
    more = [name for name in (*found.missing_keys, *found.unexpected_keys) if not name.startswith(spared or ("\0",))]
    if more:
        raise UsageError(f"{where}: differs from the network that initialises it in {', '.join(more[:8])}")


def load_file(encoder: nn.Module, config: InputConfig, name: str, *, told: bool = True) -> None:
    """Load a file of weights, and print which tensors are matched, missing and unused.

    Names in the file that begin with those of `rename` are changed, the longest beginning first; the empty one is that
    of all names.

    Args:
        encoder: changed in place.
        config: of the input, with `init`, `rename` and `adapt`.
        name: of the input.
        told: whether it is printed, by the first process.

    Raises:
        UsageError: nothing in the file fits, or a tensor has another shape.
        MedclError: the file is missing or damaged.
    """
    path = Path(config.init)
    path = path / runs.HUB_WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"inputs.{name}.init: there is no file {path}")
    own = encoder.state_dict()
    found = weights.match(weights.read(path, "take it from a copy"), own, config.rename, adapt=config.adapt)
    if found.wrong:
        hint = "" if config.adapt else f"; inputs.{name}.adapt: true inflates kernels and averages input channels"
        raise UsageError(f"inputs.{name}.init: {path}: other shapes: {', '.join(found.wrong[:5])}{hint}")
    if not found.matched:
        raise UsageError(
            f"inputs.{name}.init: {path}: no tensor has a name of the encoder's, such as {next(iter(own))}; the file "
            f"has {', '.join(found.unused[:3])}: map the beginnings of names by inputs.{name}.rename"
        )
    encoder.load_state_dict(found.matched, strict=False)
    if not told or (dist.is_initialized() and dist.get_rank()):
        return
    missing = [one for one in own if one not in found.matched]
    print(f"{path}: {len(found.matched)} tensors matched, {len(missing)} missing, {len(found.unused)} unused")
    for what, names in (("missing", missing), ("unused", found.unused), ("adapted", found.adapted)):
        if names:
            print(f"  {what}: {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}")
