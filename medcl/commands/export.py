"""Take models away: export."""

from typing import Literal

from medcl.commands import next_step
from medcl.commands.arguments import ManifestSource, PathSource, Result


def export(
    source: PathSource,
    output: PathSource,
    *,
    to: Literal["onnx", "torch", "monai-bundle", "hub"],
    manifest: ManifestSource | None = None,
    side: str = "",
    jobs: int = -1,
) -> "Result[str]":
    """Write a run's encoder or a finished model in the format of another program, with its preprocessing.

    Args:
        source: run folder, or model folder RUN/eval/TARGET/latest/models/NAME.
        output: folder that is made.
        to: format: ONNX, torch.export, a MONAI bundle, or a folder for a model hub.
        manifest: manifest whose first records are the samples that original and export are compared by; default:
            made-up samples.
        side: name of the input whose encoder is exported, of a run on several.
        jobs: number of processes that decode records; -1 is one a core.

    Returns:
        The largest difference between the original and the export.

    Raises:
        UsageError: the folder is there, or the source has no network or no such side.
        MedclError: the source cannot be loaded or its network not be exported.
    """
    from pathlib import Path

    from medcl.archive.manifest import Manifest
    from medcl.export.folder import export as write

    records = manifest if manifest is None or isinstance(manifest, Manifest) else Manifest.read(Path(manifest))
    done = write(Path(source), to, Path(output), manifest=records, side=side, jobs=jobs)
    real = f"of {done.records} records of the manifest"
    of = real if done.records else "that were made up (--manifest takes real ones)"
    text = (
        f"{done.folder}: {done.network}, preprocessing.json, preprocess.py, network.json, README.md\n"
        f"largest difference between original and export: {done.difference:.2g}, of numbers up to {done.largest:.3g}, "
        f"over {done.samples} samples {of}\n"
        f"{done.folder / 'README.md'} says how it is used"
    )
    then = next_step.after_export(done.folder, done.network)
    return Result(text, lambda: f"{done.difference:.2g}", done.folder, then)
