"""Finalists of a search: recipes that are pretrained with several seeds, and scored as `medcl tune` scores settings.

    python -m tests.tune.finalists TARGET FOLDER RECIPE RECIPE... --manifests M [M ...] --seeds 0 1 2

Each manifest has a split `val`, whose patients are scored; records of the split `test` are not read. Of several
manifests (folds) the scores are averaged. Of each recipe the score by seed is told, and whether it replaces the first
one by the rule of docs/protocol-signals.md: higher in the mean of the seeds, and with at least two of three. A command
that was interrupted goes on.
"""

import json
import shutil
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import medcl
from medcl import files, runs
from medcl.archive.manifest import Manifest
from medcl.commands import recipes
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.finetune import measure_runs
from medcl.tune.patients import development

RANDOM = "random weights of "


def scores(
    recipe: str, seed: int, manifests: Sequence[Path], config: EvaluateConfig, folder: Path
) -> dict[str, dict[str, float]]:
    """Arm -> label fraction -> mean over the manifests, of the recipe and of random weights of its network."""
    name = Path(recipe).stem
    found: dict[str, dict[str, list[float]]] = {name: {}, RANDOM + name: {}}
    for path in manifests:
        patients = development(Manifest.read(path), config.target)
        store, run = path.with_suffix(".store"), folder / f"{name}-{path.stem}-{seed}"
        if not (run / runs.WEIGHTS).exists():
            shutil.rmtree(run, ignore_errors=True)  # of a command that was interrupted
            pretraining = folder / f"{path.stem}.parquet"
            patients.pretraining.write(pretraining)
            settings = {"seed": seed, "monitor.every": 0}
            medcl.pretrain(recipes.recipe(Path(recipe), settings), pretraining, run, store=store)
        results, *_ = measure_runs([run], patients.scoring, replace(config, seed=seed), store)
        for one in results.summary:
            if one.metric == results.metric and not one.class_name:
                arm = RANDOM + name if one.arm.startswith("random") else name
                found[arm].setdefault(one.label, []).append(one.mean)
    return {arm: {label: float(np.mean(values)) for label, values in own.items()} for arm, own in found.items()}


def table(kept: Mapping[str, Mapping[str, Mapping[str, float]]], seeds: Sequence[int]) -> str:
    """Rows of Markdown: the mean over seeds at each fraction, the score of each seed, and what follows of the first."""
    arms = list(kept)
    labels = list(kept[arms[0]][str(seeds[0])])
    by_seed = {arm: [float(np.mean(list(kept[arm][str(seed)].values()))) for seed in seeds] for arm in arms}
    lines = [f"| recipe | {' | '.join(labels)} | score of each seed | score |", f"|---|{'--:|' * (len(labels) + 2)}"]
    for arm in arms:
        means = [np.mean([kept[arm][str(seed)][label] for seed in seeds]) for label in labels]
        cells = [f"{value:.3f}" for value in means]
        cells += [", ".join(f"{value:.3f}" for value in by_seed[arm]), f"{np.mean(by_seed[arm]):.3f}"]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    first = by_seed[arms[0]]
    for arm in [one for one in arms[1:] if not one.startswith(RANDOM)]:
        won = sum(own > other for own, other in zip(by_seed[arm], first, strict=True))
        ahead = np.mean(by_seed[arm]) > np.mean(first) and 3 * won >= 2 * len(seeds)
        lines.append(f"{arm}: ahead of {arms[0]} with {won} of {len(seeds)} seeds{', and replaces it' * bool(ahead)}")
    return "\n".join(lines)


def main() -> None:
    parser = ArgumentParser("tests.tune.finalists", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", nargs="+", default=["10%", "100%"])
    parser.add_argument("--unit", choices=("patient", "record"), default="patient")
    parser.add_argument("--repeats", type=int, default=20)
    told = parser.parse_args()
    told.folder.mkdir(parents=True, exist_ok=True)
    config = EvaluateConfig(told.target, labels=told.labels, protocols=["probe"], baselines=["none"], unit=told.unit)
    config = replace(config, repeats=told.repeats, save_models="none", jobs=1, bootstrap=200)
    file = told.folder / "scores.json"
    kept: dict[str, dict[str, dict[str, float]]] = json.loads(file.read_text()) if file.exists() else {}
    for seed in told.seeds:
        for recipe in told.recipes:
            if str(seed) in kept.get(Path(recipe).stem, {}):
                continue
            for arm, own in scores(recipe, seed, told.manifests, config, told.folder).items():
                kept.setdefault(arm, {})[str(seed)] = own
                print(
                    f"seed {seed} {arm}: " + ", ".join(f"{key} {value:.3f}" for key, value in own.items()), flush=True
                )
            files.write(file, json.dumps(kept))
    asked = [Path(one).stem for one in told.recipes]
    print(table({arm: kept[arm] for arm in [*asked, *(RANDOM + one for one in asked)]}, told.seeds))


if __name__ == "__main__":
    main()
