from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from medcl.phantom.ct import LESIONS, OUTSIDE, STRUCTURES, TABLE, draw_chest, draw_scanner, scan_ct, with_kernel


def rng(*seed):
    return np.random.default_rng(seed)


def scanned(kind, number, **options):
    source = rng(number, 1)
    person = draw_chest(kind, source)
    return scan_ct(person, draw_scanner(source), source, **options)


def region(scan, name):
    return scan.labels == STRUCTURES.index(name) + 1


def test_organs_have_the_hounsfield_units_of_organs():
    ranges = {
        "fat": (-120, -70),
        "muscle": (25, 70),
        "right_lung": (-920, -740),
        "left_lung": (-920, -740),
        "heart": (25, 75),
        "liver": (30, 95),
        "spine": (120, 520),
    }
    for number in range(8):
        scan = scanned("none", number)
        assert scan.image.min() >= -1024
        assert scan.image.max() <= 3071
        np.testing.assert_array_equal(scan.image, np.rint(scan.image))
        for name, (low, high) in ranges.items():
            # Away from the border, which every scanner blurs; some people have no fat that thick.
            core = binary_erosion(region(scan, name), iterations=2)
            assert core.sum() > 30 or name == "fat"
            assert core.sum() < 30 or low < np.median(scan.image[core]) < high, name
        assert scan.image[0, 0].max() == OUTSIDE
        above = scan.image[32, -6:-1]
        assert above.mean() == pytest.approx(-1000, abs=15)


def test_a_table_lies_under_the_back():
    scan = scanned("none", 0)
    below = np.where(scan.labels[32, :14].any(axis=1), -1000, scan.image[32, :14].mean(axis=1))
    assert -800 < below.max() < TABLE + 200
    assert scan.image[32, :3].mean() == pytest.approx(-1000, abs=15)


def test_the_sharp_kernel_is_noisier_and_sharper_and_shows_the_same_anatomy():
    person = draw_chest("none", rng(2))
    scanner = replace(draw_scanner(rng(3)), noise=10.0)
    soft, sharp = (scan_ct(person, with_kernel(scanner, kernel), rng(4)) for kernel in ("soft", "sharp"))
    np.testing.assert_array_equal(soft.labels, sharp.labels)
    air = (slice(20, 44), slice(56, 62))
    assert soft.image[air].std() == pytest.approx(10, rel=0.3)
    assert sharp.image[air].std() > 1.5 * soft.image[air].std()
    edges = [np.abs(np.diff(scan.image[:, 32], axis=0)).max(axis=0).mean() for scan in (soft, sharp)]
    assert edges[1] > 1.2 * edges[0]
    with pytest.raises(ValueError, match="soft"):
        with_kernel(scanner, "bone")


def test_two_scans_of_a_patient_are_closer_than_two_patients():
    first, second = [], []
    for number in range(12):
        source = rng(number, 5)
        person = draw_chest(LESIONS[number % 3], source)
        for visits in (first, second):
            image = scan_ct(person, draw_scanner(source), source, shape=(32, 32, 16), spacing=(11, 11, 14)).image
            visits.append(image.ravel())
    distance = np.array([[np.abs(a - b).mean() for b in second] for a in first])
    same, other = np.diag(distance), distance[~np.eye(12, dtype=bool)]
    assert same.min() > 0
    assert (same[:, None] < other).mean() > 0.85
    assert same.mean() < 0.75 * other.mean()


def test_the_outline_of_the_lesion_tells_its_class_and_its_size_and_brightness_do_not():
    def surface(mask):
        steps = sum(np.abs(np.diff(np.pad(mask, 1).astype(int), axis=axis)).sum() for axis in range(3))
        return steps / mask.sum() ** (2 / 3)

    facts = {}
    for kind in ("smooth", "spiculated"):
        scans = [scanned(kind, 100 * (kind == "smooth") + number) for number in range(12)]
        masks = [region(scan, "lesion") for scan in scans]
        facts[kind] = np.array([(surface(m), m.sum(), s.image[m].mean()) for m, s in zip(masks, scans, strict=True)]).T
    assert facts["spiculated"][0].min() > facts["smooth"][0].max()
    for smooth, spiculated in zip(facts["smooth"][1:], facts["spiculated"][1:], strict=True):
        assert 0.15 < (smooth[:, None] < spiculated).mean() < 0.85


def test_a_tilted_gantry_shows_the_same_person_on_a_sheared_grid():
    person = draw_chest("smooth", rng(6))
    scanner = draw_scanner(rng(7))
    straight, tilted = (scan_ct(person, scanner, rng(8), tilt=tilt) for tilt in (0.0, 15.0))
    centres = []
    for scan in (straight, tilted):
        voxels = np.argwhere(region(scan, "lesion"))
        centres.append((scan.affine[:3, :3] @ voxels.T + scan.affine[:3, 3:]).mean(axis=1))
    np.testing.assert_allclose(centres[0], centres[1], atol=2.0)
    assert abs(tilted.affine[:3, 1] @ tilted.affine[:3, 2]) > 1
