"""Which options of a command its help shows first, and in which groups."""

import argparse
from collections.abc import Iterator, Mapping

_GROUPS: Mapping[str, Mapping[str, str]] = {
    "scan": {
        "files": "*card include modality images sampling_rate channels unit events epoch strict",
        "patients and labels": "*labels record_column *patient_column *target_columns missing *id_pattern "
        "patient_per_record",
        "label maps": "*masks *mask_classes mask_name",
        "reports": "*reports report_column report_key report_patient report_belongs deidentify",
        "splits": "*fractions *stratify seed",
        "running": "*jobs cluster",
    },
    "reduce": {
        "what is done": "*output *report *leaks *fail_on_leak *evaluate",
        "comparison": "*by *threshold *keep *unit axis scope split rule clusters run encoder wanted least seed",
        "experiment of --evaluate": "*config *target seeds folds",
        "running": "*jobs cluster store",
    },
    "finetune": {
        "task": "*task event horizon survival_head survival_memory",
        "labels": "*labels labels_per_class unit folds *repeats repeats_full seed",
        "methods": "*protocols *baselines encoders scratch side",
        "samples of a label": "bag pooling top_k zero_missing",
        "several inputs": "inputs fusion input_dropout hidden_inputs",
        "results": "*output *save_models save_masks bootstrap allow_transductive",
        "running": "*jobs cluster store",
    },
    "evaluate": {
        "retrieval": "*ranks text reports encoders",
        "zero-shot classification": "*prompts temperature",
        "grounding": "boxes images",
        "results": "*output *split bootstrap seed allow_transductive",
        "running": "*jobs store",
    },
    "embed": {
        "what is embedded": "*manifest *input zero_missing",
        "rows": "*level *split pool kind side half",
        "running": "*jobs batch cluster store",
    },
    "retrieve": {
        "query": "*text *and_text *not_text *record *near *far",
        "what is searched": "*manifest *embeddings add split kind other_patients",
        "results": "*k *output",
        "running": "jobs store",
    },
    "differences": {
        "sets": "*second *kind split",
        "phrases": "*phrases least most",
        "results": "*output bootstrap seed",
        "running": "jobs store",
    },
    "tune": {
        "search": "*budget *vary rounds trials factor",
        "score": "*labels *repeats",
        "running": "jobs store",
    },
    "distill": {"student": "*encoder side steps learning_rate", "running": "*resume store"},
    "pretrain": {"running": "*resume *continue_ until logger store"},
}
"""Command -> title -> names of its options in Python; those with a star are shown by `--help`."""


def group_of(command: str, option: str) -> str:
    """The title of the group of an option; empty for the common one."""
    for title, names in _GROUPS.get(command, {}).items():
        if option in names.replace("*", "").split():
            return title
    return ""


def titles(command: str) -> list[str]:
    """The titles of a command's groups, in their order."""
    return list(_GROUPS.get(command, {}))


def _is_basic(command: str, option: str) -> bool:
    title = group_of(command, option)
    return f"*{option}" in _GROUPS[command][title].split() if title else "." not in option


def hide_others(parser: argparse.ArgumentParser, command: str) -> None:
    """Take the options that few calls need out of the help, and name them at its end."""
    hidden = list(_hidden(parser, command))
    if not hidden:
        return
    for action in hidden:
        action.help = argparse.SUPPRESS
    flags = [one.option_strings[-1] for one in hidden]
    names = [one for one in flags if "." not in one]
    parts = {one.partition(".")[0] for one in flags if "." in one}
    groups = [f"{one}.…" for one in names if one in parts]
    parser.epilog = (
        f"`medcl {command} --help all` also tells {', '.join([*(one for one in names if one not in parts), *groups])}."
    )


def _hidden(parser: argparse.ArgumentParser, command: str) -> Iterator[argparse.Action]:
    heads = {one.dest.partition(".")[0] for one in parser._actions if "." in one.dest}
    for action in parser._actions:
        if not action.option_strings or action.required or action.dest in ("help", "deid_recipe"):
            continue
        if action.dest in heads or not _is_basic(command, action.dest):
            yield action
