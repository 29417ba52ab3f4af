"""The experiment of `medcl finetune`: every protocol, label fraction and repeat, from pretrained and random weights.

A repeat is one seed: it draws the labelled subsets (nested over the fractions), the random initialisation and the
order of training. Both initialisations get the same subsets and seeds, so that their difference is a paired one.
Models are chosen on the validation patients; the test split is predicted once by each finished model.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from joblib import delayed
from numpy.typing import NDArray
from tqdm.auto import tqdm

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.embed.encoders import Encoder, device, embed_records, samples_in
from medcl.engine.parallel import workers
from medcl.errors import MedclError, UsageError
from medcl.evaluate import multimodal_space
from medcl.evaluate.config import PROTOCOLS, EvaluateConfig
from medcl.evaluate.fractions import Ordering, Subset, draw, order, parse
from medcl.evaluate.fractions import check as check_fractions
from medcl.evaluate.protocols import Pixels, fine_tune, linear_probe, nearest_neighbours, predict
from medcl.evaluate.results import Init
from medcl.evaluate.task import Prediction, Task
from medcl.modality.sampling import SampleSet

Frozen = dict[str, NDArray[np.float64]]
"""Protocol -> (records, dim) embeddings."""
FROZEN = {"probe", "knn", "pixels"}


@dataclass(frozen=True)
class Setting:
    """All that a repeat needs; small enough to be sent to a process, since the store is opened there.

    Models are chosen by the labelled rows `validation`, those of `test` are predicted once. Of an encoder of several
    modalities, one side is evaluated.
    """

    run: Path
    store: Path
    manifest: Manifest
    windows: Any
    config: EvaluateConfig
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    side: str | None = None


def check(config: EvaluateConfig) -> None:
    """Refuse an invalid configuration, before anything is computed.

    Raises:
        UsageError: a label fraction or a protocol is invalid, or there is no repeat.
    """
    check_fractions(config.labels, config.repeats)
    unknown = [name for name in config.protocols if name not in PROTOCOLS]
    if unknown or not config.protocols:
        raise UsageError(
            f"--protocols: choose from {', '.join(PROTOCOLS)}" + (f", not {', '.join(unknown)}" if unknown else "")
        )


def subsets(manifest: Manifest, config: EvaluateConfig) -> list[list[Subset]]:
    """The labelled subsets of every repeat, in ascending order of size; also reports those that cannot be drawn.

    Raises:
        MedclError: the labels do not allow a fraction; see `fractions.order`.
    """

    def ordered(seed: int) -> Ordering:
        return order(manifest, target=config.target, unit=config.unit, seed=seed)

    return draw(ordered, config.labels, repeats=config.repeats, seed=config.seed)


def run_all(setting: Setting, drawn: list[list[Subset]], inits: Sequence[Init]) -> list[Prediction]:
    """Run every repeat, in processes of one thread each so that the numbers do not depend on how many there are.

    Returns:
        One prediction a protocol, initialisation, fraction and repeat, in this order of repeats.
    """
    jobs = setting.config.jobs if setting.config.jobs > 0 else (os.cpu_count() or 1)
    if torch.cuda.is_available():
        jobs = 1  # one process fills the GPU
    frozen = _frozen(setting) and "pretrained" in inits
    pretrained = _embed(setting, _load(setting).encoder, drawn) if frozen else None
    work = (
        delayed(_repeat)(setting, repeat, subset_list, pretrained, inits) for repeat, subset_list in enumerate(drawn)
    )
    finished = workers(min(jobs, len(drawn)), return_as="generator")(work)
    return [prediction for part in tqdm(finished, total=len(drawn), unit="repeat", disable=None) for prediction in part]


def in_order(
    predictions: Sequence[Prediction], config: EvaluateConfig, drawn: Sequence[Sequence[Subset]]
) -> list[Prediction]:
    """Predictions by repeat, initialisation, fraction and protocol."""
    inits, protocols = get_args(Init), list[str](config.protocols)
    labels = [[subset.label for subset in subset_list] for subset_list in drawn]

    def place(one: Prediction) -> tuple[int, ...]:
        return (one.repeat, inits.index(one.init), labels[one.repeat].index(one.label), protocols.index(one.protocol))

    return sorted(predictions, key=place)


def _frozen(setting: Setting) -> bool:
    return bool(FROZEN & set(setting.config.protocols))


def _baseline(setting: Setting, random: Encoder, subset_list: list[Subset]) -> Frozen:
    """Embeddings that each protocol of frozen embeddings is compared with: random weights, or the pixels themselves."""
    asked = FROZEN & set(setting.config.protocols)
    z = {name: _embed(setting, Pixels(random.n_channels), [subset_list]) for name in asked & {"pixels"}}
    if asked - {"pixels"}:
        z |= dict.fromkeys(asked - {"pixels"}, _embed(setting, random, [subset_list]))
    return z


def _load(setting: Setting) -> runs.Run[Any, Any]:
    return multimodal_space.only(runs.load(setting.run), setting.side)


def _windows(setting: Setting) -> SampleSet:
    return samples_in(setting.store, setting.manifest, setting.windows)


def _embed(setting: Setting, encoder: Encoder | Pixels, drawn: list[list[Subset]]) -> NDArray[np.float64]:
    """Embeddings of all records that any of the subsets uses, (records, dim); the others stay NaN."""
    rows = np.unique(
        np.concatenate([setting.validation, setting.test, *(s.rows for subset_list in drawn for s in subset_list)])
    )
    z = np.full((len(setting.manifest), encoder.config.dim), np.nan)
    z[rows] = embed_records(encoder.to(device()), _windows(setting), rows, device())
    return z


def _repeat(
    setting: Setting,
    repeat: int,
    subset_list: list[Subset],
    pretrained: NDArray[np.float64] | None,
    inits: Sequence[Init],
) -> list[Prediction]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seed = setting.config.seed + repeat
        run = _load(setting)
        torch.manual_seed(seed)
        random = run.card.build()
        baseline = _baseline(setting, random, subset_list) if "random" in inits else {}
        sides: tuple[tuple[Init, Encoder, Frozen], ...] = (
            ("pretrained", run.encoder, {name: pretrained for name in FROZEN if pretrained is not None}),
            ("random", random, baseline),
        )
        return [
            Prediction(protocol, init, subset.label, repeat, seed, probabilities)
            for init, encoder, z in sides
            if init in inits
            for subset in subset_list
            for protocol, probabilities in _predict(setting, encoder, z, subset, repeat)
        ]
    finally:
        torch.set_num_threads(threads)


def _predict(
    setting: Setting, encoder: Encoder, frozen: Frozen, subset: Subset, repeat: int
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The test predictions of every protocol for one encoder and one labelled subset."""
    config, task = setting.config, Task.of(setting.manifest, setting.config.target)
    for protocol in config.protocols:
        if protocol != "finetune":
            fit = nearest_neighbours if protocol == "knn" else linear_probe
            if protocol in frozen:
                z = frozen[protocol]
                yield protocol, fit(task, z, subset.rows, setting.validation)(z[setting.test])
        elif not (parse(subset.label).share == 1.0 and 0 < config.repeats_full <= repeat):
            windows = _windows(setting)
            seed = config.seed + repeat
            tuned = fine_tune(
                encoder, task, windows, subset.rows, setting.validation, config.finetune, seed=seed, device=device()
            )
            yield protocol, predict(tuned.encoder, tuned.head, task, windows, setting.test, device())


def usable(manifest: Manifest, task: Task, split: str) -> NDArray[np.int64]:
    """Rows of a split that have a label.

    Raises:
        MedclError: there is none.
    """
    rows = manifest.split_rows(split)
    rows = rows[task.labelled[rows]]
    if not len(rows):
        raise MedclError(
            f"no usable record of the split {split!r} has a label for {task.target.name!r}: `medcl split` makes "
            "splits, and `medcl scan` lists the records that were quarantined"
        )
    return rows.astype(np.int64)
