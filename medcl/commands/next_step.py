"""What to type next: one line at the end of a command, for the archive and the files that it was given."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
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


def after_phantom(folder: Path, written: Collection[str], *, markers: bool = False) -> list[str]:
    """Scan what was written, a command a kind: `ecg`, `eeg`, `ct`, `mr`, `xray`, `shapes`, `organs`."""

    def scan(place: str, patient: Sequence[str], *words: str) -> str:
        table = ["--labels", str(folder / place / "labels.csv"), "--record-column", "record"]
        return join(["medcl", "scan", str(folder / place), *table, *patient, *words])

    def by_card(name: str) -> str:
        return join(["medcl", "scan", str(folder / name), "--card", f"{folder / name}.yaml", "-o", f"{name}.parquet"])

    column = ["--patient-column", "patient"]
    targets = ["--target-columns", "lesion", "side", "--modality", "xray"]
    told = ["--reports", str(folder / "reports" / "shapes" / "reports.csv"), "--report-key", "record"]
    reports = [*told, "--report-column", *(["HISTORY=history"] if markers else []), "FINDINGS=findings"]
    # A table has patient and study of its own, and is of the image whose path names the same.
    named = ["--id-pattern", "^(?P<patient>[^/]+)/(?P<study>[^/.]+)"] if markers else column
    commands = {
        "ecg": scan("ecg", column, "--target-columns", "diagnosis", "-o", "ecg.parquet"),
        "eeg": scan("eeg", ["--patient-column", "subject"], "--target-columns", "group", "-o", "eeg.parquet"),
        "ct": by_card("ct"),
        "mr": by_card("mr"),
        "xray": scan("xray_png", column, *targets, "-o", "xray.parquet"),
        "shapes": scan("shapes", named, "--modality", "xray", *reports, "-o", "shapes.parquet"),
        "organs": by_card("organs"),
    }
    return [command for kind, command in commands.items() if kind in written]


def after_scan(found: "BuildReport", path: Path) -> str:
    """Pretrain by a shipped recipe that fits most of the records; nothing where there are none."""
    about = found.summary
    if not about.records:
        return ""

    def opened() -> "Manifest":
        from medcl.archive.manifest import Manifest

        return Manifest.read(path, in_memory=False).ok()

    return _pretrain(list(about.wings), list(about.modalities), found.reports is not None, path, opened)


def after_manifest(manifest: "Manifest", path: Any) -> str:
    """As `after_scan`, for a manifest that was changed."""
    readable = manifest.ok()
    kinds, modalities = Counter(map(str, readable.kinds)), Counter(map(str, readable.column("modality")))
    names = [one for one, _ in kinds.most_common()], [one for one, _ in modalities.most_common()]
    return _pretrain(*names, False, path, lambda: readable)


def _pretrain(
    kinds: list[str], modalities: list[str], texts: bool, path: Any, manifest: "Callable[[], Manifest]"
) -> str:
    from medcl.modality import wing

    files = [one for one in kinds if wing(one).reads_files]
    recipe = "RECIPE"
    if kinds:
        own = wing((files or kinds)[0])
        recipe = own.first_recipe(next((one for one in modalities if one in own.first_recipes), ""), manifest)
        if files and (texts or len(kinds) > len(files)):
            recipe = own.first_recipes.get("report", recipe)
    words = ["pretrain", recipe, "--manifest", path_of(path)]
    return join(["medcl", *words, "-o", str(_RUNS / Path(path_of(path, "NAME")).stem)])


def after_preview(manifest: Any, strategy: str) -> str:
    """Reduce by the strategy that was looked at."""
    return join(["medcl", "reduce", path_of(manifest), "--by", strategy, "-o", "reduced.parquet"])


def after_prepare(manifest: Any) -> str:
    """Pretrain by the recipe that the records were prepared for."""
    return join(["medcl", "pretrain", "RECIPE", "--manifest", path_of(manifest), "-o", str(_RUNS / "NAME")])


def after_pretrain(run: Path, kinds: Collection[str], manifest: "Manifest | None", path: Any, finished: bool) -> str:
    """Measure the encoder at the first target, or embed the archive where there is none; or go on.

    Args:
        run: its folder.
        kinds: modalities of its inputs.
        manifest: None where it was trained on arrays.
        path: of the manifest.
        finished: whether all steps are taken.
    """
    from medcl.modality import wing

    rest = ["--manifest", path_of(path)]
    if not finished:
        return "the same command with --resume and without --until goes on"
    if not any(wing(one).reads_files for one in kinds):
        # Labels belong to records that have files, not to their reports.
        return join(["medcl", "evaluate", str(run), *rest])
    if manifest is not None and manifest.targets:
        return join(["medcl", "finetune", str(run), *rest, "--target", next(iter(manifest.targets))])
    return join(["medcl", "embed", str(run), *rest, "-o", str(run / "embeddings.parquet")])


def after_tune(recipe: Path, manifest: Any) -> str:
    """Pretrain by the recipe that scored best."""
    return join(["medcl", "pretrain", str(recipe), "--manifest", path_of(manifest), "-o", str(_RUNS / "best")])


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


def after_compare(folder: Path | None) -> str:
    """Look at the page, or have it written."""
    if folder is None:
        return "the same command with -o FOLDER writes results.json and report.html"
    return f"open {folder / 'report.html'} in a browser"


def after_evaluate(run: Path, manifest: Any, reads_texts: bool, is_joint: bool) -> str:
    """Search the archive, in words where the run reads them; embed it where there is one modality alone."""
    if not is_joint:
        return join(["medcl", "embed", str(run), "--manifest", path_of(manifest), "-o", f"{run}/embeddings.parquet"])
    query = ["--text", "left pleural effusion"] if reads_texts else ["--record", "ID"]
    return join(["medcl", "retrieve", str(run), "--manifest", path_of(manifest), *query, "-o", "found.html"])


def after_differences(run: Path, manifest: Any, phrase: str) -> str:
    """Look at what is nearest to the phrase that tells most."""
    return join(["medcl", "retrieve", str(run), "--manifest", path_of(manifest), "--text", phrase, "-o", "found.html"])


def after_retrieve(of: list[str], found: str, sheet: Path | None) -> str:
    """Have a contact sheet written, or search with what was found first."""
    if sheet is None:
        return "the same command with -o found.png writes a contact sheet of what was found"
    return join(["medcl", "retrieve", *of, "--record", found, "-o", str(sheet.with_stem(f"{sheet.stem}_2"))])


def after_leaks(manifest: "Manifest", path: Any, found: int, report: Path | None) -> str:
    """Look at the pairs, and correct what they tell; go on where there are none."""
    if not found:
        return after_manifest(manifest, path)
    if report is None:
        return "the same command with --report leaks.html shows the pairs"
    return f"open {report} in a browser, then correct the patients (medcl scan) or the split (medcl split)"


def after_export(folder: Path, network: str) -> str:
    """Open what was written."""
    calls = {
        "model.onnx": "onnxruntime.InferenceSession",
        "model.pt2": "torch.export.load",
        "model.ts": "torch.jit.load",
        "configs/inference.json": "monai.bundle.ConfigParser.load_config_file",
    }
    if network in calls:
        return f"in Python, {calls[network]}({str(folder / network)!r})"
    return f"in Python, medcl.load({str(folder)!r})"


def after_condense(folder: Path, labels: Path) -> str:
    """Scan the synthetic images as the archive of their own that they are."""
    table = ["--labels", str(labels), "--record-column", "record", "--target-columns", "class"]
    return join(["medcl", "scan", str(folder), *table, "--patient-per-record", "-o", f"{folder.name}.parquet"])
