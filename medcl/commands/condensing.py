"""A few synthetic images in the place of an archive: condense."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl.commands import next_step
from medcl.commands.arguments import Column, ManifestSource, PathSource, Result, config_of, manifest_and_store
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.reduce.condensed import Condensed


def condense(
    manifest: ManifestSource,
    output: Annotated[PathSource | None, "FOLDER", "required"] = None,
    *,
    target: Column | None = None,
    per_class: int = 1,
    steps: int = 1000,
    size: tuple[int, int] = (32, 32),
    jobs: int = -1,
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.reduce.config:CondenseConfig"],
) -> "Result[Condensed]":
    """Make a few synthetic images a class that train a network as the real ones do, and check what they give away.

    Dataset condensation with contrastive signals (DCC): their gradients are made those of the training patients'
    images. The result is a data set of its own: images, `labels.csv`, and `condensed.json` with what networks that see
    nothing else reach on other patients, and with two checks of whether the images give away who was used.

    Args:
        manifest: manifest that `medcl scan` wrote, of images with labels.
        output: folder of the synthetic images; new or empty.
        target: column that names the class of an image.
        per_class: number of synthetic images of each class.
        steps: number of steps, each with a network of new random weights.
        size: rows and columns of the images, pixels.
        jobs: number of processes; -1 is one a core.
        store: folder of prepared records; default: beside the manifest.
        settings: the other fields of `medcl.reduce.config.CondenseConfig`, such as `begin="noise"`.

    Returns:
        What was made, its quality and what it gives away.

    Raises:
        UsageError: a setting is invalid, or the target has no classes.
        MedclError: there are no images.
    """
    from medcl.reduce.condensed import LABELS, condense_archive
    from medcl.reduce.config import CondenseConfig

    if output is None or target is None:
        missing = "-o/--output" if output is None else "--target"
        raise UsageError(f"condense: {missing} is missing")
    records, prepared = manifest_and_store(manifest, store)
    config = config_of(CondenseConfig, settings, per_class=per_class, steps=steps, size=tuple(size))
    folder = Path(output)
    found = condense_archive(records, target, config, prepared, folder, jobs=jobs)
    then = next_step.after_condense(folder, folder / LABELS)
    return Result(f"{found}\nfolder: {folder}", lambda: found, folder, then)
