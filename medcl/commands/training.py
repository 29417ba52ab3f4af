"""From a manifest to an encoder: prepare, pretrain."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcl.commands import parsers, quarantine

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from medcl.pretrain.plan import Config


def prepare(argv: Sequence[str]) -> None:
    """Decode the records of a manifest once, as `pretrain` and `finetune` would on their first call."""
    parser = _parser(prepare)
    parser.add_argument("--config", action="config", help="the recipe (YAML) that will be trained; its `data` counts")
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="compare more with the scan than sizes, times and headers: every byte, where the scan was --strict too, "
        "and the headers of all slices of a DICOM volume",
    )
    given, config = _parse(parser, argv)
    from medcl.pretrain.config import PretrainConfig
    from medcl.pretrain.multimodal_config import MultimodalPretrainConfig

    manifest, folder = parsers.read(given.manifest), parsers.store_of(given.manifest)
    if isinstance(config, PretrainConfig):
        from medcl.data.prepare import prepare as decode

        store = decode(manifest, config.data, folder, jobs=given.jobs, strict=given.strict)
        held = f"{len(store)} recordings, {len(store.channels)} channels at {store.sampling_rate:g} Hz"
        print(f"{store.folder}: {held}")
        for note, count in store.notes.items():
            print(f"{count:>8}  {note}")
        lines = quarantine.told(store.quarantine, len(store) + len(store.quarantine), "recordings")
    elif isinstance(config, MultimodalPretrainConfig):
        from medcl.pretrain.multimodal_sides import WORDS, prepare_sides

        lines = []
        for kind, made in prepare_sides(config, manifest, folder, given.jobs, given.strict).items():
            found, word = made.store, WORDS[kind]
            print(f"{found.folder}: {len(found.record_ids)} {word}")
            lines += quarantine.told(found.quarantine, len(found.record_ids) + len(found.quarantine), word)
            lines += quarantine.filled(getattr(found, "filled", {}))
    else:
        from medcl.data.volume_prepare import prepare_volumes

        volumes = prepare_volumes(manifest, config.data, folder, jobs=given.jobs, strict=given.strict)
        masks = f", label maps: {', '.join(volumes.masks)}" if volumes.masks else ""
        print(f"{volumes.folder}: {len(volumes)} volumes of {volumes.n_channels} channel(s){masks}")
        total = len(volumes) + len(volumes.quarantine)
        lines = quarantine.told(volumes.quarantine, total, "volumes")
        lines += quarantine.filled(volumes.filled)
        for name, reasons in volumes.mask_quarantine.items():
            lines += quarantine.told(reasons, total, f"label maps {name!r}")
    print(*lines, sep="\n", end="\n" if lines else "")


def pretrain(argv: Sequence[str]) -> None:
    """Train an encoder on a manifest without labels."""
    parser = _parser(pretrain)
    parser.add_argument(
        "--config",
        action="config",
        help="a recipe (YAML, or the name of a shipped one); single values are overridden as --optimiser.steps 500",
    )
    parser.add_argument("--manifest", type=Path, required=True, help="what `medcl scan` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last.ckpt")
    parser.add_argument("--until", type=int, help="stop after this step, to be resumed: for queues with a time limit")
    given, config = _parse(parser, argv)
    from medcl.pretrain.run import pretrain as train

    store = parsers.store_of(given.manifest)
    done = train(config, parsers.read(given.manifest), store, given.output, resume=given.resume, until=given.until)
    if done.speaks:
        print(done)


def recipe(path: Path) -> "Config":
    """The recipe in a file, of whichever method it names."""
    parser = parsers.config_parser(pretrain)
    parser.add_argument("--config", action="config")
    return _parse(parser, ["--config", str(path)])[1]


def _parser(command: Callable[[Sequence[str]], None]) -> "ArgumentParser":
    from medcl.pretrain.methods import JOINT, SIGNALS, VOLUMES

    parser = parsers.config_parser(command)
    parser.epilog = (
        f"The settings are those of the method that the recipe names. Methods for recordings: {', '.join(SIGNALS)}; "
        f"for volumes: {', '.join(VOLUMES)}; for pictures, reports and several modalities: {', '.join(JOINT)}. "
        f"`medcl {command.__name__} --method {VOLUMES[0]} --help` shows those of "
        "one method."
    )
    return parser


def _parse(parser: "ArgumentParser", argv: Sequence[str]) -> tuple[Any, "Config"]:
    """The words of a command, and the configuration of the method that they name."""
    from medcl.pretrain.methods import asked_for, config_class

    argv = parsers.named_recipes(argv)
    kind = config_class(asked_for(argv))
    own = [action.dest for action in parser._actions]
    parser.add_class_arguments(kind)
    parsers.check_recipes(argv, kind, own)
    given = parser.instantiate(parser.parse_args(argv))
    return given, kind(**{one.name: given[one.name] for one in fields(kind)})
