"""From a manifest to an encoder: prepare, pretrain."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from medcl.commands import next_step, recipes
from medcl.commands.arguments import (
    ManifestSource,
    PathSource,
    Result,
    filled,
    manifest_and_store,
    one_or_many,
    quarantined,
)
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.manifest import Manifest
    from medcl.pretrain.recipe import Recipe
    from medcl.pretrain.run import Pretrained

    RecipeSource: TypeAlias = Path | str | Mapping[str, Any] | Recipe | None
else:
    RecipeSource = Path


@one_or_many
def prepare(
    recipe: RecipeSource,
    manifest: ManifestSource,
    *,
    jobs: int = -1,
    strict: bool = False,
    cluster: str | None = None,
    store: PathSource | None = None,
    **settings: Any,
) -> "Result[dict[str, Any]]":
    """Decode the records of a manifest once, as `pretrain` and `finetune` would on their first call.

    Args:
        recipe: recipe that will be trained: a YAML file, the name of a shipped one, or nested mappings; the `data` of
            its inputs count. Single settings are flags, such as --inputs.signal.data.window 5.
        manifest: manifest that `medcl scan` wrote.
        jobs: number of processes; -1 is one a core.
        strict: compare more with the scan than sizes, times and headers: every byte, where the scan was `--strict` too,
            and the headers of all slices of a DICOM volume.
        cluster: address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers decode in the place of
            processes here; they see the archive and the store under the same paths.
        store: folder of prepared records; default: beside the manifest.
        settings: of the recipe, in the place of those of the file, such as `data={"window": 5.0}`.

    Returns:
        The prepared records, by the name of their input.

    Raises:
        UsageError: the recipe has an unknown setting or an invalid value.
        MedclError: no record can be decoded.
    """
    from medcl.modality import wing
    from medcl.pretrain.inputs import stores_of

    complete = recipes.recipe(recipe, settings)
    records, folder = manifest_and_store(manifest, store)
    found_by_name = stores_of(complete, records, folder, jobs=jobs, strict=strict, cluster=cluster)
    stores: dict[str, Any] = {name: one.store for name, one in found_by_name.items()}
    lines: list[str] = []
    for name, found in stores.items():
        own = wing(complete.inputs[name].modality)
        lines.append(f"{found.folder}: {found.described()}")
        # What else a wing tells of its records: notes on recordings, label maps of volumes.
        lines += [f"{count:>8}  {note}" for note, count in getattr(found, "notes", {}).items()]
        total = len(found.record_ids) + len(found.quarantine)
        lines += quarantined(found.quarantine, total, own.plural)
        lines += filled(getattr(found, "filled", {}))
        for name, reasons in getattr(found, "mask_quarantine", {}).items():
            lines += quarantined(reasons, total, f"label maps {name!r}")
    return Result("\n".join(lines), lambda: stores, folder, next_step.after_prepare(manifest))


@one_or_many
def pretrain(
    recipe: RecipeSource = None,
    manifest: Annotated[ManifestSource | None, "MANIFEST", "required"] = None,
    output: Annotated[PathSource | None, "OUTPUT", "required"] = None,
    *,
    samples: "Mapping[str, Any] | None" = None,
    resume: bool = False,
    until: int | None = None,
    continue_: Annotated[PathSource | None, "RUN"] = None,
    logger: Literal["none", "wandb", "mlflow"] = "none",
    store: PathSource | None = None,
    **settings: Any,
) -> "Result[Pretrained]":
    """Train an encoder on a manifest without labels.

    Args:
        recipe: a YAML file, the name of a shipped one (`medcl recipes` lists them), or nested mappings. Single settings
            are flags, such as --optimiser.steps 500 or --objectives.trial.weight 0.5; `--help all` tells all of them.
        manifest: manifest that `medcl scan` wrote.
        output: the run folder.
        samples: in the place of a manifest, samples in memory by the name of their input: arrays with ids, MNE Epochs
            or torch data sets; see `medcl.data.samples.Samples`.
        resume: go on from the folder's last.ckpt.
        until: step after which this call stops, to be resumed: for queues with a time limit.
        continue_: finished run that goes on with patients whom it has not seen, such as those of another site, by its
            own recipe unless another one is named; --earlier.replay 0.1 trains on a tenth of its patients again, and an
            objective `retention` keeps what it has learned without them.
        logger: program that is told of losses and measures, besides metrics.csv and TensorBoard: `wandb` (`pip install
            'medcl[wandb]'`; offline, unless WANDB_MODE is online) or `mlflow` (`pip install 'medcl[mlflow]'`; a folder
            of the run, unless MLFLOW_TRACKING_URI names a server).
        store: folder of prepared records; default: beside the manifest.
        settings: of the recipe, in the place of those of the file, such as `optimiser={"steps": 500}`.

    Returns:
        What the run has come to; taken as the run folder by `medcl.embed` and others.

    Raises:
        UsageError: the recipe has an unknown setting or an invalid value, or the folder already holds a run.
        MedclError: the archive does not allow it, or training failed.
    """
    # What is wrong with the recipe is told before torch is imported.
    if continue_ is not None:
        recipe = recipes.of_run(Path(continue_)) if recipe is None else recipe
        settings = {**settings, "earlier.run": str(Path(continue_))}
    complete = recipes.recipe(recipe, settings)
    from medcl.pretrain.run import pretrain as run

    if (manifest is None) == (samples is None) or output is None:
        missing = ["--manifest"] * (manifest is None) + ["-o/--output"] * (output is None)
        raise UsageError(
            f"pretrain: {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing"
            if missing
            else "pretrain: takes a manifest or samples, not both"
        )
    source: Any = samples
    prepared = Path()
    if manifest is not None:
        source, prepared = manifest_and_store(manifest, store)
    done = run(complete, source, prepared, Path(output), resume=resume, until=until, logger=logger)
    # Of several processes that train, one tells.
    kinds = {one.modality for one in complete.inputs.values()}
    records = source if manifest is not None else None
    then = next_step.after_pretrain(done.folder, kinds, records, manifest, done.finished)
    return Result(str(done) if done.speaks else "", lambda: done, done.folder, then * done.speaks)


def train(recipe: "Recipe", manifest: "Manifest", store: Path, folder: Path) -> tuple[int, float]:
    """Pretrain, or go on with an interrupted run; steps taken, and seconds of all of them at the last part's pace."""
    from medcl import runs
    from medcl.pretrain.checkpoint import step_of
    from medcl.pretrain.run import pretrain as run

    resume = (folder / runs.ENVIRONMENT).exists()
    taken = step_of(folder / runs.CHECKPOINT) if resume and (folder / runs.CHECKPOINT).exists() else 0
    begun = time.monotonic()
    done = run(recipe, manifest, store, folder, resume=resume)
    return done.steps, (time.monotonic() - begun) * done.steps / max(1, done.steps - taken)
