"""Redundant by embedding: which encoder is asked for, and the signatures that it makes."""

from pathlib import Path
from typing import cast

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.volume_prepare import slice_axis
from medcl.embed.fingerprints import run_fingerprint
from medcl.embed.pieces import volume_config
from medcl.embed.sides import WORDS
from medcl.errors import UsageError
from medcl.modality.spec import JointCard, VolumeCard, kind_of
from medcl.reduce.config import ReduceConfig
from medcl.reduce.random_encoder import RandomEncoder
from medcl.reduce.run_encoder import RunEncoder
from medcl.reduce.signatures import Described, describe
from medcl.reduce.strategy import Unit
from medcl.reduce.units import Units
from medcl.reduce.vision_encoder import VisionEncoder
from medcl.runs import load

RANDOM = "random"
Embedding = RunEncoder | RandomEncoder | VisionEncoder


def strategy_of(config: ReduceConfig, manifest: Manifest) -> Embedding:
    """The strategy by the encoder that is asked for.

    Args:
        config: names a run, or `random` or a folder as an encoder.
        manifest: of the records that are compared.

    Raises:
        UsageError: it names neither, or the encoder takes none of the records.
        MedclError: there is no such run, or no such model.
    """
    found = _encoder(config)
    held = set(manifest.ok().kinds)
    if not held & set(found.kinds):
        names, have = (", ".join(WORDS[kind] for kind in WORDS if kind in some) for some in (found.kinds, held))
        raise UsageError(
            f"--by embedding: {config.run or config.encoder} embeds {names}; the manifest holds "
            f"{have or 'no readable record'}"
        )
    return found


def _encoder(config: ReduceConfig) -> Embedding:
    if config.run:
        return of_run(Path(config.run))
    if config.encoder == RANDOM:
        return RandomEncoder(config.seed)
    if config.encoder:
        return VisionEncoder(Path(config.encoder))
    raise UsageError(
        "--by embedding needs an encoder: --run RUN of a finished run, --encoder random, or --encoder FOLDER of a "
        "vision model of transformers"
    )


def of_run(folder: Path) -> RunEncoder:
    """The strategy by the encoders of a finished run: all sides of one on several modalities.

    Raises:
        MedclError: as `runs.load`.
    """
    card = load(folder, ()).card
    sides = card.sides if isinstance(card, JointCard) else {kind_of(card): card}
    volume = sides.get("volume")
    axis = slice_axis(volume_config(volume)) if isinstance(volume, VolumeCard) else None
    dims: tuple[Unit, ...] = ("record",) if volume is not None and axis is None else ("slice", "record")
    return RunEncoder(folder, run_fingerprint(folder), cast(tuple[Kind, ...], tuple(sides)), dims, axis)


def signatures_of(
    manifest: Manifest,
    units: Units,
    strategy: Embedding,
    store: Path,
    *,
    axis: int,
    jobs: int = -1,
    cluster: str | None = None,
) -> Described:
    """The embeddings of the records of some units, from the cache or made now.

    Args:
        manifest: that names the files.
        units: of one family.
        strategy: that `strategy_of` made.
        store: folder beside the manifest.
        axis: across which slices lie.
        jobs: processes that decode; those of a vision model each load it.
        cluster: address of a Dask scheduler, whose workers are used in their place.

    Raises:
        UsageError: slices across another axis than the run's, or a cluster for a run.
        MedclError: an embedding is not a number, or the disk is full.
    """
    if not isinstance(strategy, RunEncoder):
        return describe(manifest, units, strategy, store, axis=axis, jobs=jobs, cluster=cluster)
    if cluster is not None:
        raise UsageError("--run embeds prepared records, on this machine and its GPU: leave --cluster out")
    return strategy.signatures_of(manifest, units, store, axis=axis, jobs=jobs)
