"""Agreement of a predicted label map with the true one: Dice and 95% Hausdorff distance of each structure."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcl.errors import MedclError

Floats = NDArray[np.float64]
Labels = NDArray[np.integer]
_CROWDED = 4  # voxels of the box for each of a surface: with fewer, a distance transform of the box is quicker


def dice(truth: Labels, prediction: Labels, n_classes: int) -> Floats:
    """Dice coefficient of every structure: twice the voxels in common over the voxels of both.

    Args:
        truth: (x, y, z), 0 is the background.
        prediction: (x, y, z).
        n_classes: with the background.

    Returns:
        (n_classes - 1,); 1 for a structure that is in neither map.

    Raises:
        MedclError: the shapes differ, or a label is not among the classes.

    Example:
        >>> import numpy as np
        >>> from medcl.stats.label_maps import dice
        >>> truth, prediction = np.array([[[0, 1, 1, 2]]]), np.array([[[0, 1, 0, 2]]])
        >>> dice(truth, prediction, n_classes=3).round(2).tolist()
        [0.67, 1.0]
    """
    _check(truth, prediction, n_classes)
    pairs = truth.ravel().astype(np.int64) * n_classes + prediction.ravel()
    table = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)
    both = table.sum(axis=0) + table.sum(axis=1)
    return np.where(both > 0, 2 * np.diag(table) / np.maximum(both, 1), 1.0)[1:]


def hausdorff95(truth: Labels, prediction: Labels, n_classes: int, spacing: ArrayLike) -> Floats:
    """95% Hausdorff distance of every structure, in mm.

    Of the distances from each surface voxel (one with a face neighbour that is not of the structure) to the nearest
    surface voxel of the other map the 95th percentile is taken, and of both directions the larger, as monai does.

    Args:
        truth: (x, y, z), 0 is the background.
        prediction: (x, y, z).
        n_classes: with the background.
        spacing: (3,) mm.

    Returns:
        (n_classes - 1,); 0 for a structure that is in neither map, NaN for one that is in one of them only: no distance
        describes it, so it is counted instead.

    Raises:
        MedclError: the shapes differ, or a label is not among the classes.
    """
    from scipy.ndimage import find_objects

    _check(truth, prediction, n_classes)
    sampling = np.asarray(spacing, dtype=np.float64)
    small = np.uint8 if n_classes <= 256 else np.int32
    boxes = [find_objects(one.astype(small, copy=False), max_label=n_classes - 1) for one in (truth, prediction)]
    found = np.full(n_classes - 1, np.nan)
    for k, (first, second) in enumerate(zip(*boxes, strict=True)):
        if first is None and second is None:
            found[k] = 0.0
        if first is None or second is None:
            continue
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
        surfaces = [_surface(one[box] == k + 1) for one in (truth, prediction)]
        there, back = _distances(surfaces[0], surfaces[1], sampling)
        found[k] = max(np.percentile(there, 95), np.percentile(back, 95))
    return found


def _distances(first: NDArray[np.bool_], second: NDArray[np.bool_], sampling: Floats) -> tuple[Floats, Floats]:
    """From each voxel of two surfaces to the nearest of the other, mm."""
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import cKDTree

    numbers = [np.flatnonzero(surface) for surface in (first, second)]
    if _CROWDED * sum(map(len, numbers)) > first.size:
        away = [distance_transform_edt(~surface, sampling=sampling) for surface in (first, second)]
        return away[1][first], away[0][second]
    points = [np.stack(np.unravel_index(own, first.shape), axis=1) * sampling for own in numbers]
    trees = [cKDTree(own, balanced_tree=False) for own in points]
    found = []
    for own, place, other, tree in zip(points, numbers, (second, first), trees[::-1], strict=True):
        apart = ~other.ravel()[place]  # a voxel of both surfaces is 0 mm away
        distance = np.zeros(len(own))
        distance[apart] = tree.query(own[apart])[0]
        found.append(distance)
    return found[0], found[1]


def _surface(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a structure with a face neighbour outside; the border of the map counts as outside."""
    core = inside.copy()
    for axis in range(inside.ndim):
        # Views in which the axis comes first.
        kept, whole = np.moveaxis(core, axis, 0), np.moveaxis(inside, axis, 0)
        kept[1:] &= whole[:-1]
        kept[:-1] &= whole[1:]
        kept[[0, -1]] = False
    return np.asarray(inside & ~core)


def _check(truth: Labels, prediction: Labels, n_classes: int) -> None:
    if truth.shape != prediction.shape:
        raise MedclError(f"the predicted label map has the shape {prediction.shape}, the true one {truth.shape}")
    for name, one in (("true", truth), ("predicted", prediction)):
        if one.size and not (one.min() >= 0 and one.max() < n_classes):
            raise MedclError(
                f"the {name} label map holds labels from {one.min()} to {one.max()}, not among its classes, "
                f"0 to {n_classes - 1}"
            )
