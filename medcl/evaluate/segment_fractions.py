"""Which patients or volumes are labelled for a segmentation: nested, seeded subsets.

As a rule every label map shows every structure, so nothing has to be kept in proportion: the order is a random one.
"""

from typing import Literal

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.archive.stratify import Ints, first_appearance
from medcl.errors import MedclError
from medcl.evaluate.fractions import Ordering

Unit = Literal["patient", "record"]


def order(manifest: Manifest, rows: Ints, seed: int, unit: Unit = "patient") -> Ordering:
    """Order the patients or the volumes of some rows, so that the first n of them are the labelled ones.

    Args:
        manifest: of the records.
        rows: (R,) training rows with a usable label map.
        seed: of the draw.
        unit: what is counted: patients, with all of their volumes, or volumes (`record`).

    Returns:
        The ordering; `take` gives the subset of a fraction.

    Raises:
        MedclError: there is no row.
    """
    if not len(rows):
        raise MedclError("no volume of the training split has a label map that can be used")
    patient_of_row, _ = first_appearance(manifest.column("patient")[rows])
    unit_of_row = patient_of_row if unit == "patient" else np.arange(len(rows))
    units = np.random.default_rng(seed).permutation(int(unit_of_row.max()) + 1)
    nothing = np.zeros((len(rows), 0), dtype=bool)
    return Ordering(units, rows, unit_of_row, patient_of_row, nothing, 1, unit, ())


def one_each(manifest: Manifest, rows: Ints, count: int, seed: int) -> Ints:
    """One volume of each of `count` patients, or of as many as there are.

    Args:
        manifest: of the records.
        rows: (R,) rows with a usable label map.
        count: patients.
        seed: of the draw.

    Returns:
        Rows, ascending.
    """
    _, first = np.unique(manifest.column("patient")[rows], return_index=True)
    # In the order of the manifest, which does not depend on how the patients are coded.
    volumes = rows[np.sort(first)]
    chosen = np.random.default_rng([seed, 1]).permutation(len(volumes))[:count]
    return np.sort(volumes[chosen])
