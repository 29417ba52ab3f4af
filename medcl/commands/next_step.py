"""What to type next: one line at the end of a command, for the archive and the files that it was given."""

from collections import Counter
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcl.archive.build import BuildReport
    from medcl.archive.manifest import Manifest

_RUNS = Path("runs")


def path_of(source: Any, instead: str = "MANIFEST") -> str:
    """The path that a command was given; a word of help where it was an object in memory."""
    try:
        return str(Path(source))
    except TypeError:
        return instead


def after_phantom(folder: Path, ecg: bool, eeg: bool) -> str:
    """Scan what was written; of volumes and radiographs the summary says it already."""
    name, patient, target = ("ecg", "patient", "diagnosis") if ecg else ("eeg", "subject", "group")
    if not (ecg or eeg):
        return ""
    table = ["--labels", str(folder / name / "labels.csv"), "--record-column", "record", "--patient-column", patient]
    return join(["medcl", "scan", str(folder / name), *table, "--target-columns", target, "-o", f"{name}.parquet"])


def after_scan(found: "BuildReport", path: Path) -> str:
    """Pretrain by a shipped recipe that fits most of the records; nothing where there are none."""
    about = found.summary
    return (
        _pretrain(list(about.wings), list(about.modalities), found.reports is not None, path) if about.records else ""
    )


def after_manifest(manifest: "Manifest", path: Any) -> str:
    """As `after_scan`, for a manifest that was changed."""
    readable = manifest.ok()
    kinds, modalities = Counter(map(str, readable.kinds)), Counter(map(str, readable.column("modality")))
    return _pretrain([one for one, _ in kinds.most_common()], [one for one, _ in modalities.most_common()], False, path)


def _pretrain(kinds: list[str], modalities: list[str], texts: bool, path: Any) -> str:
    from medcl.modality import wing

    files = [one for one in kinds if wing(one).reads_files]
    known = wing((files or kinds)[0]).first_recipes if kinds else {}
    recipe = next((known[one] for one in modalities if one in known), known.get("", "RECIPE"))
    if files and (texts or len(kinds) > len(files)):
        recipe = known.get("report", recipe)
    words = ["pretrain", recipe, "--manifest", path_of(path)]
    return join(["medcl", *words, "-o", str(_RUNS / Path(path_of(path, "NAME")).stem)])


def after_preview(manifest: Any, strategy: str) -> str:
    """Reduce by the strategy that was looked at."""
    return join(["medcl", "reduce", path_of(manifest), "--by", strategy, "-o", "reduced.parquet"])


def after_prepare(manifest: Any) -> str:
    """Pretrain by the recipe that the records were prepared for."""
    return join(["medcl", "pretrain", "RECIPE", "--manifest", path_of(manifest), "-o", str(_RUNS / "NAME")])


def after_pretrain(run: Path, manifest: "Manifest | None", path: Any) -> str:
    """Measure the encoder at the first target, or embed the archive where there is none."""
    rest = ["--manifest", path_of(path)]
    if manifest is not None and manifest.targets:
        return join(["medcl", "finetune", str(run), *rest, "--target", next(iter(manifest.targets))])
    return join(["medcl", "embed", str(run), *rest, "-o", str(run / "embeddings.parquet")])


def after_finetune(folder: Path, runs: list[Path]) -> str:
    """Apply the model that was kept, or put runs side by side."""
    models = sorted((folder / "models").glob("*"))
    if models:
        return join(["medcl", "predict", str(models[0]), "--manifest", "NEW.parquet", "-o", "predictions.parquet"])
    return join(["medcl", "compare", *map(str, runs), *(["OTHER_RUN"] if len(runs) == 1 else [])])


def after_embed(path: Path) -> str:
    """Look at the embeddings."""
    return join(["medcl", "explore", str(path)])


def after_explore(path: Any) -> str:
    """Search by one of the records that the page names."""
    return join(["medcl", "retrieve", "--embeddings", path_of(path, "EMBEDDINGS"), "--record", "ID", "-o", "near.png"])


def after_evaluate(run: Path, manifest: Any) -> str:
    """Search the archive in words."""
    words = ["--manifest", path_of(manifest), "--text", "left pleural effusion", "-o", "found.html"]
    return join(["medcl", "retrieve", str(run), *words])
