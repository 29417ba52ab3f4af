"""From a manifest to an encoder: prepare, pretrain."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from medcl.commands import parsers


def prepare(argv: Sequence[str]) -> None:
    """Decode the recordings of a manifest once, as `pretrain` and `finetune` would on their first call."""
    from medcl.pretrain.config import PretrainConfig

    parser = parsers.config_parser(prepare)
    parser.add_argument("--config", action="config", help="the recipe (YAML) that will be trained; its `data` counts")
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    parser.add_class_arguments(PretrainConfig)
    given = parser.instantiate(parser.parse_args(argv))
    from medcl.data.prepare import prepare as decode

    store = decode(parsers.read(given.manifest), given.data, parsers.store_of(given.manifest), jobs=given.jobs)
    print(f"{store.folder}: {len(store)} recordings, {len(store.channels)} channels at {store.sampling_rate:g} Hz")
    for record, reason in store.quarantine.items():
        print(f"quarantined: {record}: {reason}")


def pretrain(argv: Sequence[str]) -> None:
    """Train an encoder on a manifest without labels."""
    from medcl.pretrain.config import PretrainConfig

    parser = parsers.config_parser(pretrain)
    parser.add_argument(
        "--config", action="config", help="a recipe (YAML); single values are overridden as --optimiser.steps 500"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last.ckpt")
    parser.add_argument("--until", type=int, help="stop after this step, to be resumed: for queues with a time limit")
    parser.add_class_arguments(PretrainConfig)
    given = parser.instantiate(parser.parse_args(argv))
    from medcl.pretrain.run import pretrain as train

    config = PretrainConfig(**{field.name: given[field.name] for field in fields(PretrainConfig)})
    store = parsers.store_of(given.manifest)
    done = train(config, parsers.read(given.manifest), store, given.output, resume=given.resume, until=given.until)
    if done.speaks:
        print(done)
