"""The arms of an experiment: what gives the embeddings that are compared.

An arm is a pretrained run, the same network from random weights, a foreign encoder, or a simple baseline of the wing.
All arms get the same labelled subsets and seeds, so that differences between any two of them are paired ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medcl import runs, weights
from medcl.embed.encoders import device, embed_records, embed_samples, samples_in
from medcl.embed.metadata import run_fingerprint
from medcl.errors import UsageError, no_such
from medcl.evaluate.cells import Arrays, fingerprint
from medcl.evaluate.items import Bags, Items
from medcl.evaluate.multimodal_space import only
from medcl.evaluate.results import ArmInfo
from medcl.modality import wing_of
from medcl.modality.baselines import Baseline, Supervised
from medcl.modality.rows import Rows
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import to_json
from medcl.networks.config import ForeignEncoderConfig
from medcl.networks.foreign import build
from medcl.networks.pooling import LEARNED, Pooling, PoolingName

ENCODER_PROTOCOLS = ("probe", "knn", "finetune")
BASELINE_PROTOCOLS = ("probe",)


@dataclass(frozen=True)
class Arm:
    """One arm; small enough to be sent to a process, since networks and stores are opened there.

    Args:
        info: what results say of it.
        store: folder of the prepared records that it reads.
        data: what a sample is.
        spec: of its network; None for a baseline.
        folders: run folders, one for all repeats or one for each; empty where no run is loaded.
        side: of a run on several inputs, the one that is evaluated.
        about: all that its embeddings depend on beside the records, in JSON's types.
    """

    info: ArmInfo
    store: Path
    data: Any
    spec: Any = None
    folders: tuple[Path, ...] = ()
    side: str | None = None
    about: Any = None

    @property
    def name(self) -> str:
        """Of the arm."""
        return self.info.name

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those that it can be measured by: a baseline has no network to fine-tune."""
        return BASELINE_PROTOCOLS if self.info.kind == "baseline" else ENCODER_PROTOCOLS

    @property
    def seeded(self) -> bool:
        """Whether its embeddings differ from repeat to repeat."""
        return self.info.kind == "random" or len(self.folders) > 1

    @property
    def note(self) -> str:
        """What is to be said of its samples; empty where there is nothing."""
        return str(wing_of(self.data).note(self.data))

    def usable(self, manifest: Rows) -> NDArray[np.int64]:
        """Rows of a manifest whose records have a sample."""
        return np.unique(self.samples(manifest).rows)

    def head(self, width: Any, n_outputs: int) -> Any:
        """A head of its own for embeddings of a width; None where it takes that of all."""
        return None

    def samples(self, manifest: Rows) -> SampleSet:
        """The samples of the records of a manifest, as its network takes them."""
        return samples_in(self.store, manifest, self.data)  # type: ignore[arg-type]

    def encoder(self, repeat: int, seed: int) -> Any:
        """Its network, in evaluation mode; random weights are those of the seed."""
        if self.info.kind == "run":
            return only(runs.load(self.folders[min(repeat, len(self.folders) - 1)]), self.side).encoder
        torch.manual_seed(seed)
        return self.spec.build()

    @property
    def learner(self) -> Supervised | None:
        """Of a baseline that learns its features of labels, what learns them."""
        if self.info.kind != "baseline":
            return None
        found = wing_of(self.data).baselines(self.data)[self.name]
        return found if isinstance(found, Supervised) else None

    def embed(
        self,
        manifest: Rows,
        items: Items,
        rows: NDArray[np.int64],
        repeat: int,
        seed: int,
        pooling: PoolingName = "mean",
        top_k: int = 8,
    ) -> Arrays:
        """Embeddings of items: `z` (rows, dim), and what a baseline learned of the training items, as `state.NAME`.

        Of a pooling that is learned they are those of the samples, (N, dim), and `group` is the place in `rows` of
        each. The features of a baseline are of a whole record, so that there records are pooled.
        """
        every, how = self.samples(manifest), (pooling, top_k)
        if self.info.kind == "baseline":
            return features(wing_of(self.data).baselines(self.data)[self.name], every, items, rows, *how)
        return embedded(self.encoder(repeat, seed).to(device()), items.samples(every), rows, *how)


def embedded(
    network: Any, samples: SampleSet, rows: NDArray[np.int64], pooling: PoolingName = "mean", top_k: int = 8
) -> Arrays:
    """Embeddings of items by a network on the device, as `Arm.embed` returns them."""
    if pooling == "mean":
        return {"z": embed_records(network, samples, rows, device())}
    return _pooled(*embed_samples(network, samples, rows, device()), len(rows), pooling, top_k)


def features(
    baseline: Baseline,
    every: SampleSet,
    items: Items,
    rows: NDArray[np.int64],
    pooling: PoolingName = "mean",
    top_k: int = 8,
    state: Arrays | None = None,
    learned: Arrays | None = None,
) -> Arrays:
    """A baseline's features of items, of all samples of their records or of their time steps, as `Arm.embed`.

    Its state is what it learned before, or is learned of the training items; of a finished model that learned features
    of labels, too, `learned` are these.
    """
    bags = items.grouping if isinstance(items.grouping, Bags) else None
    samples = every if bags else items.samples(every)
    records, group = bags.records_of(rows) if bags else (rows, np.arange(len(rows)))
    state = baseline.fit(samples, records[items.split[rows][group] == "train"]) if state is None else state
    z = baseline.transform(samples, records, state)
    pooled = _pooled(z, group, len(rows), pooling, top_k)
    if learned and isinstance(baseline, Supervised):
        pooled["z"] = baseline.apply(pooled["z"], learned)
    return {**pooled, **{f"state.{name}": one for name, one in state.items()}}


def _pooled(z: NDArray[Any], group: NDArray[np.int64], n: int, pooling: PoolingName, top_k: int) -> Arrays:
    if pooling in LEARNED:
        return {"z": z, "group": group}
    pool = Pooling(pooling, z.shape[1], top_k)
    return {"z": pool(torch.from_numpy(z), torch.from_numpy(group), n).numpy()}


def names_of(folders: Sequence[Path]) -> list[str]:
    """Names of the arms of runs: `pretrained`, or of several run folders their names, numbered where they repeat."""
    names = [folder.resolve().name for folder in folders]
    numbered = [f"{one} {names[: i + 1].count(one)}" if names.count(one) > 1 else one for i, one in enumerate(names)]
    return numbered if len(folders) > 1 else ["pretrained"]


def of_run(
    name: str, folders: Sequence[Path], store: Path, side: str | None = None, card: Any = None, **facts: float
) -> Arm:
    """The arm of a pretrained run; of several run folders, one a repeat, where pretraining was repeated.

    The card is that of the run, unless another is given.
    """
    run = only(runs.load(folders[0]), side)
    card = run.card if card is None else card
    data = wing_of_spec(card).data_of(card)
    about = [[run_fingerprint(folder) for folder in folders], side or ""]
    info = ArmInfo(name, "run", run=str(folders[0]), method=str(run.config.get("method", "")), facts=facts)
    return Arm(info, store, data, card, tuple(folders), side, about)


def untrained(name: str, arm: Arm) -> Arm:
    """The same network as that of a run, from random weights."""
    return replace(arm, info=ArmInfo(name, "random"), folders=(), side=None, about=to_json(arm.spec))


def baselines(arm: Arm, wanted: Sequence[str], *, supervised: bool = False) -> list[Arm]:
    """The simple baselines that fit the samples of an arm.

    Args:
        arm: whose prepared records are used.
        wanted: names, or `all`, or `none`.
        supervised: whether there are those that learn their features of classes.

    Raises:
        UsageError: the wing has no such baseline for these samples, or for this task.
    """
    found = wing_of(arm.data).baselines(arm.data)
    known = {name: one for name, one in found.items() if supervised or not isinstance(one, Supervised)}
    names = list(known) if "all" in wanted else [name for name in wanted if name != "none"]
    for name in names:
        if name in found and name not in known:
            raise UsageError(f"--baselines {name}: takes a target of classes and a pooling that is not learned")
        if name not in known:
            raise UsageError(no_such("baseline", name, list(known)))
    return [
        replace(arm, info=ArmInfo(name, "baseline", known[name].title), spec=None, folders=(), side=None, about=name)
        for name in names
    ]


def foreign(path: str, arm: Arm, manifest: Rows) -> Arm:
    """An encoder of an installed package, `package.module:Class`, on the samples of an arm.

    It is built without arguments; a class that loads weights of its own is measured with them. What it returns for a
    sample says its width: (B, dim), or (B, dim, ...), which is averaged over positions.

    Raises:
        UsageError: there is no such class, or it does not take the samples.
    """
    if not hasattr(arm.spec, "encoder"):
        raise UsageError(f"--encoders {path}: the run's modality takes no other network")
    x = arm.samples(manifest).__getitems__([0, 0])["x"]
    torch.manual_seed(0)
    config = ForeignEncoderConfig(path, dim=1)
    network = build(config, x.shape[1]).network.eval()
    try:
        with torch.inference_mode():
            found = network(x)
    except Exception as error:  # noqa: BLE001 - a network of the user's own fails in any way
        raise UsageError(
            f"--encoders {path}: does not take samples of the shape {tuple(x.shape[1:])}: {error}"
        ) from error
    if not isinstance(found, torch.Tensor) or found.ndim < 2 or len(found) != 2:
        raise UsageError(f"--encoders {path}: returns no tensor of the shape (batch, dim) or (batch, dim, ...)")
    layout = "pooled" if found.ndim == 2 else "channels-first"
    config = replace(config, dim=found.shape[1], layout=layout, dims=max(0, x.ndim - 2))  # type: ignore[arg-type]
    return replace(
        arm,
        info=ArmInfo(path.partition(":")[2], "foreign", path),
        spec=replace(arm.spec, encoder=config),
        folders=(),
        side=None,
        about=[asdict(config), fingerprint(*(one.numpy() for one in weights.of(network).values()))],
    )


def wing_of_spec(spec: Any) -> Any:
    """The wing that a spec belongs to.

    Raises:
        UsageError: it is one of several modalities.
    """
    from medcl.modality import wing
    from medcl.modality.spec import JointCard, kind_of

    if isinstance(spec, JointCard):
        raise UsageError("the run's encoder is one of several modalities: it cannot be fine-tuned on labels")
    return wing(kind_of(spec))


def usable(arms: Sequence[Arm], manifest: Rows) -> NDArray[np.int64]:
    """Rows of a manifest whose records every arm has samples of."""
    rows = np.arange(len(manifest.column("record_id")))
    for arm in {arm.store: arm for arm in arms}.values():
        rows = np.intersect1d(rows, arm.usable(manifest))
    return rows
