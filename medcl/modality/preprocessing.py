"""How a record becomes what a network takes, as data and as a program that needs no medcl."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

SETTINGS, REFERENCE = "preprocessing.json", "preprocess.py"


@dataclass(frozen=True)
class Preprocessing:
    """What goes with a network that is taken away.

    Args:
        settings: as JSON holds them: sampling rate, channels, size, scaling.
        wing: a module of the wing's folder, in which `reference.py` lies.
        example: draws (n, ...) samples as the network takes them, of the shape and the range of real ones.
        axes: names of the axes of a sample behind the first, such as `channels`.
        varying: numbers of the axes whose length may differ, the first one apart, which always may.
        further: name of another file -> its content.
        packages: that the reference needs beside numpy.
    """

    settings: dict[str, Any]
    wing: str
    example: Callable[[np.random.Generator, int], Tensor]
    axes: tuple[str, ...]
    varying: tuple[int, ...] = ()
    further: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The program: a function `preprocess` of at most 150 lines."""
        return Path(self.wing).with_name("reference.py").read_text(encoding="utf-8")
