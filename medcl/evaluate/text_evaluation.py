"""`medcl evaluate` of runs on reports alone, beside tf-idf of words and published sentence encoders."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from medcl import runs
from medcl.archive.links import PARTNERS, links, taking_part
from medcl.archive.manifest import Manifest
from medcl.archive.split import check
from medcl.embed.encoders import device, sides_in
from medcl.embed.texts import embed_texts
from medcl.errors import MedclError, UsageError
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_trials import CHANCE
from medcl.evaluate.page import write_page
from medcl.evaluate.relevance import among, rows_of, texts_in_words
from medcl.evaluate.repeats import Repeats
from medcl.evaluate.results import ArmInfo, Results, Score
from medcl.evaluate.text_trials import Embed, Texts, by_labels, by_sentence, once, space, tf_idf
from medcl.evaluate.trial_results import LABEL, results_of_trials
from medcl.modality.base import plain
from medcl.modality.report import ReportWing
from medcl.modality.report.config import TextConfig
from medcl.modality.spec import TextCard
from medcl.networks.multimodal import REPORT
from medcl.runs import Run

BASELINE = "tf_idf"


def reads_reports_alone(config: Mapping[str, Any]) -> bool:
    """Whether a run of this configuration was trained on reports and nothing else."""
    return {one["modality"] for one in config.get("inputs", {}).values()} == {REPORT}


def evaluate_texts(
    arms: Mapping[str, Run[Any, Any]],
    infos: Sequence[ArmInfo],
    repeats: Repeats,
    manifest: Manifest,
    config: MultimodalEvaluateConfig,
    output: Path,
) -> Results:
    """Measure encoders of reports: a report found by one of its sentences, and nearness against labels in common.

    Every run is an arm, and so are the published encoders of `config.encoders`, tf-idf of words, fitted to the training
    reports, and chance. The texts are those of the sections that the first run reads. results.json and report.html are
    written to `output`.

    Args:
        arms: {name: run}.
        infos: what results say of the arms of the runs.
        repeats: which arm each run is a repeat of.
        manifest: of the records.
        config: of the evaluation.
        output: folder.

    Raises:
        UsageError: a setting is of several modalities, or a published encoder cannot be used.
        MedclError: the split has no report with a word, or no training report has one.
        LeakError: a test patient was trained on.
    """
    first = next(iter(arms.values()))
    for name, asked in (("--prompts", config.prompts), ("--swaps", config.swaps), ("--boxes", config.boxes)):
        if asked:
            raise UsageError(f"{first.folder}: was pretrained on reports alone, so that {name} does not apply")
    manifest = manifest.ok()
    check(manifest)
    known, counted = links(manifest), taking_part(manifest, config.reports)
    reports = counted & (manifest.kinds == REPORT)
    rows = rows_of(manifest, known, config.split)
    rows, train = (some[reports[some]] for some in (rows, rows_of(manifest, known, "train")))
    said = [runs.guard(run, manifest, rows, allow=config.allow_transductive) for run in arms.values()]
    sides = {name: sides_in(run, REPORT)[0] for name, run in arms.items()}
    reading = replace(ReportWing().reading(cast(TextCard, next(iter(sides.values())).card)), draw="sentence")
    texts, learned = (Texts.of(manifest, some, reading) for some in (rows, train))
    for split, one in ((config.split, texts), ("train", learned)):
        if not one.sentences:
            which = f" ({PARTNERS[config.reports]})" if config.reports != "all" else ""
            raise MedclError(f"the split {split!r} holds no report{which} with a word that {first.folder} reads")
    foreign = _published(config.encoders)
    own: dict[str, Embed] = {name: partial(embed_texts, side.network, side.card) for name, side in sides.items()}
    every = {name: once(embed) for name, embed in {**own, **foreign, BASELINE: tf_idf(learned.whole)}.items()}
    patient, whole = manifest.column("patient"), texts.whole
    vectors = {name: embed(whole) for name, embed in every.items()}
    trials = [
        by_sentence(texts, every, patient, config),
        by_labels(texts, vectors, manifest, among(known, counted), config),
    ]
    if not any(trials):
        raise MedclError(
            f"the split {config.split!r} has no report of two sentences, and no three reports of labelled records: "
            "there is nothing to measure"
        )
    infos = [*infos, *(ArmInfo(name, "foreign", name) for name in foreign)]
    infos += [ArmInfo(BASELINE, "baseline", "tf-idf of words"), ArmInfo(CHANCE, "baseline", CHANCE)]
    between = [
        Score("space of reports", name, LABEL, 0, config.seed, found) for name, found in space(texts, vectors, manifest)
    ]
    results = results_of_trials(
        [trial for trial in trials if trial],
        between,
        infos,
        repeats,
        manifest,
        {REPORT: rows},
        config,
        {name: run.config for name, run in arms.items()},
        [*dict.fromkeys(filter(None, said)), texts_in_words(len(rows), len(texts.rows), config.reports)],
    )
    results.save(output / "results.json")
    write_page(results, output / "report.html")
    return results


def _published(paths: Sequence[str]) -> dict[str, Embed]:
    """Sentence encoders by the last two parts of their paths, under which hubs have them too."""
    if not paths:
        return {}
    # Only where it is asked for: the import of transformers takes seconds.
    from medcl.modality.report.encoders.published import published

    found: dict[str, Embed] = {}
    for path in paths:
        name = "/".join(Path(path).parts[-2:])
        if name in found:
            raise UsageError(f"--encoders: two of them are called {name}")
        encoder, length = published(path)
        data = plain(TextConfig(draw="whole", length=length))
        card = TextCard(encoder.config, encoder.tokenizer.to_json(), encoder.architecture, data)
        found[name] = partial(embed_texts, encoder.to(device()), card)
    return found
