"""From a manifest to an encoder: prepare, pretrain."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from medcl.commands import quarantine
from medcl.commands.arguments import ManifestSource, PathSource, manifest_and_store
from medcl.commands.recipes import recipe
from medcl.commands.result import Result

if TYPE_CHECKING:
    from medcl.pretrain.plan import Config
    from medcl.pretrain.run import Pretrained

    RecipeSource: TypeAlias = Path | str | Mapping[str, Any] | Config | None
else:
    RecipeSource = Path


def prepare(
    config: RecipeSource,
    manifest: ManifestSource,
    *,
    jobs: int = -1,
    strict: bool = False,
    store: PathSource | None = None,
    **settings: Any,
) -> "Result[dict[str, Any]]":
    """Decode the records of a manifest once, as `pretrain` and `finetune` would on their first call.

    Args:
        config: recipe that will be trained: a YAML file, the name of a shipped one, or nested mappings; its `data`
            counts.
        manifest: manifest that `medcl scan` wrote.
        jobs: number of processes; -1 is one a core.
        strict: compare more with the scan than sizes, times and headers: every byte, where the scan was `--strict` too,
            and the headers of all slices of a DICOM volume.
        store: folder of prepared records; default: beside the manifest.
        settings: of the recipe, in the place of those of the file, such as `data={"window": 5.0}`.

    Returns:
        The prepared records, by the name of their modality.

    Raises:
        UsageError: the recipe has an unknown setting or an invalid value.
        MedclError: no record can be decoded.
    """
    from medcl.pretrain.config import PretrainConfig
    from medcl.pretrain.multimodal_config import MultimodalPretrainConfig

    config = recipe(config, settings)
    records, folder = manifest_and_store(manifest, store)
    stores: dict[str, Any] = {}
    lines: list[str] = []
    if isinstance(config, PretrainConfig):
        from medcl.data.prepare import prepare as decode

        signals = stores["signal"] = decode(records, config.data, folder, jobs=jobs, strict=strict)
        held = f"{len(signals)} recordings, {len(signals.channels)} channels at {signals.sampling_rate:g} Hz"
        lines.append(f"{signals.folder}: {held}")
        lines += [f"{count:>8}  {note}" for note, count in signals.notes.items()]
        lines += quarantine.told(signals.quarantine, len(signals) + len(signals.quarantine), "recordings")
    elif isinstance(config, MultimodalPretrainConfig):
        from medcl.pretrain.multimodal_sides import WORDS, prepare_sides

        for kind, made in prepare_sides(config, records, folder, jobs, strict).items():
            found, word = made.store, WORDS[kind]
            stores[kind] = found
            lines.append(f"{found.folder}: {len(found.record_ids)} {word}")
            lines += quarantine.told(found.quarantine, len(found.record_ids) + len(found.quarantine), word)
            lines += quarantine.filled(getattr(found, "filled", {}))
    else:
        from medcl.data.volume_prepare import prepare_volumes

        volumes = stores["volume"] = prepare_volumes(records, config.data, folder, jobs=jobs, strict=strict)
        masks = f", label maps: {', '.join(volumes.masks)}" if volumes.masks else ""
        lines.append(f"{volumes.folder}: {len(volumes)} volumes of {volumes.n_channels} channel(s){masks}")
        total = len(volumes) + len(volumes.quarantine)
        lines += quarantine.told(volumes.quarantine, total, "volumes")
        lines += quarantine.filled(volumes.filled)
        for name, reasons in volumes.mask_quarantine.items():
            lines += quarantine.told(reasons, total, f"label maps {name!r}")
    return Result("\n".join(lines), lambda: stores, folder)


def pretrain(
    config: RecipeSource,
    manifest: ManifestSource,
    output: PathSource,
    *,
    resume: bool = False,
    until: int | None = None,
    store: PathSource | None = None,
    **settings: Any,
) -> "Result[Pretrained]":
    """Train an encoder on a manifest without labels.

    Args:
        config: recipe: a YAML file, the name of a shipped one, or nested mappings.
        manifest: manifest that `medcl scan` wrote.
        output: the run folder.
        resume: go on from the folder's last.ckpt.
        until: step after which this call stops, to be resumed: for queues with a time limit.
        store: folder of prepared records; default: beside the manifest.
        settings: of the recipe, in the place of those of the file, such as `optimiser={"steps": 500}`.

    Returns:
        What the run has come to; taken as the run folder by `medcl.embed` and others.

    Raises:
        UsageError: the recipe has an unknown setting or an invalid value, or the folder already holds a run.
        MedclError: the archive does not allow it, or training failed.
    """
    # What is wrong with the recipe is told before torch is imported.
    config = recipe(config, settings)
    from medcl.pretrain.run import pretrain as train

    records, prepared = manifest_and_store(manifest, store)
    done = train(config, records, prepared, Path(output), resume=resume, until=until)
    # Of several processes that train, one tells.
    return Result(str(done) if done.speaks else "", lambda: done, done.folder)
