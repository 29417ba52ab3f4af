"""Which configuration a method takes: importable without torch, so that the command line stays quick."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medcl.documents import read_yaml
from medcl.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from medcl.pretrain.config import PretrainConfig
    from medcl.pretrain.multimodal_config import MultimodalPretrainConfig
    from medcl.pretrain.volume_config import VolumePretrainConfig

SIGNALS = ("comet",)
VOLUMES = ("global-local", "densecl", "pixpro", "hierarchy")
JOINT = ("convirt", "multimodal", "simclr")


def config_class(method: str) -> "type[PretrainConfig] | type[VolumePretrainConfig] | type[MultimodalPretrainConfig]":
    """The configuration that a method takes.

    Raises:
        UsageError: there is no such method.
    """
    # Making a dataclass takes its time: only the one that is asked for.
    if method in SIGNALS:
        from medcl.pretrain.config import PretrainConfig

        return PretrainConfig
    if method in VOLUMES:
        from medcl.pretrain.volume_config import VolumePretrainConfig

        return VolumePretrainConfig
    if method in JOINT:
        from medcl.pretrain.multimodal_config import MultimodalPretrainConfig

        return MultimodalPretrainConfig
    raise UsageError(
        f"there is no method {method!r}: {', '.join(SIGNALS)} trains on recordings, {', '.join(VOLUMES)} on volumes, "
        f"{', '.join(JOINT)} on the modalities that the recipe has{did_you_mean(method, (*SIGNALS, *VOLUMES, *JOINT))}"
    )


def asked_for(words: Sequence[str]) -> str:
    """The method that the words of a command name, in `--method` or in the file behind `--config`.

    What is on the command line counts more than what is in a file, and of several the last one. A file that cannot be
    read names none: the parser of the command line reports it.
    """
    of_files, given = "comet", ""
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        value = value or "".join(words[number + 1 : number + 2])
        if name == "--method":
            given = value
        elif name == "--config":
            of_files = _in_file(Path(value)) or of_files
    return given or of_files


def _in_file(path: Path) -> str:
    try:
        found = read_yaml(path, "recipe")
    except UsageError:
        return ""
    return str(found.get("method", "")) if isinstance(found, dict) else ""
