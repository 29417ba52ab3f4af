from dataclasses import replace

import numpy as np
import pytest

from medcl.phantom.mr import LESIONS, STRUCTURES, draw_head, draw_scanner, scan_mr


def rng(*seed):
    return np.random.default_rng(seed)


def region(scan, name):
    return scan.labels == STRUCTURES.index(name) + 1


def test_tissues_have_the_order_of_a_t1_weighted_image_whatever_the_gain():
    gains = []
    for number in range(8):
        source = rng(number, 1)
        person, scanner = draw_head("none", source), draw_scanner(source)
        scan = scan_mr(person, scanner, source)
        names = ("skull", "ventricles", "right_hippocampus", "grey_matter", "white_matter")
        brightness = [np.median(scan.image[region(scan, name)]) for name in names]
        assert max(brightness[:2]) < brightness[2] < brightness[4]
        assert brightness[3] < brightness[4]
        assert scan.image.min() >= 0
        np.testing.assert_array_equal(scan.image, np.rint(scan.image))
        gains.append(brightness[4])
    assert max(gains) > 2 * min(gains)


def test_the_gain_scales_and_the_bias_bends():
    person, scanner = draw_head("none", rng(2)), replace(draw_scanner(rng(3)), gain=500.0, bias=0.0)
    plain = scan_mr(person, scanner, rng(4))
    louder = scan_mr(person, replace(scanner, gain=1500.0), rng(4))
    np.testing.assert_allclose(louder.image, 3 * plain.image, atol=2.1)
    bent = scan_mr(person, replace(scanner, bias=0.3), rng(4))
    white = region(plain, "white_matter")
    ratio = bent.image[white] / plain.image[white]
    assert 1.05 < ratio.max() / ratio.min() < np.exp(0.6) * 1.2


def test_noise_in_the_air_is_rayleigh():
    person, scanner = draw_head("none", rng(2)), replace(draw_scanner(rng(3)), gain=10000.0, bias=0.0, noise=0.03)
    air = scan_mr(person, scanner, rng(5)).image[:5]
    assert air.mean() == pytest.approx(300 * np.sqrt(np.pi / 2), rel=0.03)
    assert air.std() == pytest.approx(300 * np.sqrt(2 - np.pi / 2), rel=0.03)


def test_two_scans_of_a_patient_are_closer_than_two_patients():
    first, second = [], []
    for number in range(12):
        source = rng(number, 6)
        person = draw_head(LESIONS[number % 3], source)
        for visits in (first, second):
            image = scan_mr(person, draw_scanner(source), source, shape=(32, 32, 16), spacing=(7, 7, 11)).image
            visits.append((image - image.mean()).ravel() / image.std())
    distance = np.array([[np.abs(a - b).mean() for b in second] for a in first])
    same, other = np.diag(distance), distance[~np.eye(12, dtype=bool)]
    assert (same[:, None] < other).mean() > 0.7
    assert same.mean() < other.mean()


def test_the_texture_of_the_lesion_tells_its_class_and_its_size_and_mean_do_not():
    facts = {}
    for kind in ("smooth", "ring"):
        rows = []
        for number in range(12):
            source = rng(number, 7, kind == "ring")
            person = draw_head(kind, source)
            scan = scan_mr(person, draw_scanner(source), source)
            voxels = scan.image[region(scan, "lesion")] / scan.image[region(scan, "white_matter")].mean()
            rows.append((voxels.std() / voxels.mean(), voxels.size, voxels.mean()))
        facts[kind] = np.array(rows).T
    assert facts["ring"][0].min() > facts["smooth"][0].max()
    for smooth, ring in zip(facts["smooth"][1:], facts["ring"][1:], strict=True):
        assert 0.1 < (smooth[:, None] < ring).mean() < 0.9
