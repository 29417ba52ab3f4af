"""How commands read their words."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from medcl.archive.manifest import Manifest


def parser(command: Callable[..., None]) -> argparse.ArgumentParser:
    """A parser of plain flags."""
    return argparse.ArgumentParser(prog=f"medcl {command.__name__}", description=command.__doc__)


def config_parser(command: Callable[..., None]) -> "ArgumentParser":
    """A parser that also takes dataclasses and YAML files; it takes a third of a second to import."""
    from jsonargparse import ArgumentParser

    return ArgumentParser(prog=f"medcl {command.__name__}", description=command.__doc__)


def read(path: Path) -> "Manifest":
    """The manifest in a file."""
    from medcl.archive.manifest import Manifest

    return Manifest.read(path)


def store_of(manifest: Path) -> Path:
    """Recordings are prepared once, beside their manifest."""
    return manifest.with_suffix(".store")
