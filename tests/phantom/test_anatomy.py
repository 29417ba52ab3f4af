from dataclasses import replace

import numpy as np
import pytest

from medcl.phantom import ct as chest
from medcl.phantom import mr as head
from medcl.phantom.anatomy import Ellipsoid, draw_lesion, draw_on, draw_pose, draw_waves, grid_affine

HERE = np.eye(4)
COARSE = (48, 48, 24)


def rng(*seed):
    return np.random.default_rng(seed)


def test_the_grid_is_centred_and_a_tilted_one_is_sheared():
    affine = grid_affine((5, 7, 9), (2, 3, 4))
    np.testing.assert_allclose(affine @ (2, 3, 4, 1), (0, 0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(np.diag(affine), (2, 3, 4, 1))
    tilted = grid_affine((5, 7, 9), (2, 3, 4), tilt=30)
    np.testing.assert_allclose(np.linalg.norm(tilted[:3, :3], axis=0), (2, 3, 4))
    assert np.rad2deg(np.arcsin(tilted[2, 1] / 3)) == pytest.approx(30)
    assert tilted[:3, 2].tolist() == [0, 0, 4]


def test_an_ellipsoid_holds_what_its_formula_says():
    part = Ellipsoid("liver", (10, -5, 3), (20, 10, 30), turn=90)
    points = np.array([[10, -5, 3], [10, 14, 3], [10, 16, 3], [19, -5, 3], [21, -5, 3], [10, -5, 32], [10, -5, 34]])
    assert part.holds(points.T.astype(np.float32)).tolist() == [True, True, False, True, False, True, False]
    banana = replace(part, turn=0, curve=15)
    ends = np.array([[10, 4.9, 3], [25, 4.9, 3], [25, -14.9, 3]]).T.astype(np.float32)
    assert banana.holds(ends).tolist() == [False, True, True]


def test_a_random_field_has_the_size_that_was_asked_for():
    waves = draw_waves(24, (16, 50), 3.0, 2, rng(0))
    points = rng(1).uniform(-500, 500, (3, 20000)).astype(np.float32)
    field = waves.at(points)
    assert field.shape == (2, 20000)
    np.testing.assert_allclose(field.std(axis=1), 3.0, rtol=0.05)
    np.testing.assert_allclose(field.mean(axis=1), 0, atol=0.15)


def test_the_same_place_of_a_person_looks_the_same_on_every_grid():
    person = chest.draw_chest("smooth", rng(3))
    fine_affine = grid_affine((64, 64, 32), (5.5, 5.5, 7))
    fine = draw_on(person, (64, 64, 32), fine_affine, HERE)
    skip = fine_affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    coarse = draw_on(person, (32, 32, 16), skip, HERE)
    assert (coarse.labels == fine.labels[::2, ::2, ::2]).mean() > 0.999
    np.testing.assert_allclose(coarse.grain, fine.grain[::2, ::2, ::2], atol=1e-3)


@pytest.mark.parametrize(
    ("draw", "kinds", "size"), [(chest.draw_chest, chest.LESIONS, 352), (head.draw_head, head.LESIONS, 224)]
)
def test_every_person_has_all_structures_and_a_lesion_where_asked(draw, kinds, size):
    affine = grid_affine((64, 64, 32), (size / 64, size / 64, size * 0.7 / 32))
    for number in range(9):
        person = draw(kinds[number % 3], rng(number, 4))
        drawing = draw_on(person, (64, 64, 32), affine, draw_pose(rng(number, 5)))
        count = np.bincount(drawing.labels.ravel(), minlength=9)
        assert count[1:8].min() > 20
        assert (count[8] > 50) == (kinds[number % 3] != "none") == (person.lesion is not None)
        assert person.lesion_class == kinds[number % 3]
        edge = np.concatenate([drawing.labels[[0, -1]].ravel(), drawing.labels[:, [0, -1]].ravel()])
        assert (edge > 0).mean() < 0.01


def test_a_lesion_stays_inside_its_host_and_leaves_the_rest_as_it_was():
    healthy, ill = (chest.draw_chest(kind, rng(6)) for kind in ("none", "spiculated"))
    affine = grid_affine((64, 64, 32), (5.5, 5.5, 7))
    before, after = (draw_on(person, (64, 64, 32), affine, HERE).labels for person in (healthy, ill))
    lesion = after == ill.label("lesion")
    assert set(before[lesion]) == {ill.label(ill.lesion.host)}
    np.testing.assert_array_equal(before[~lesion], after[~lesion])


def test_right_is_right_and_old_heads_have_large_ventricles():
    affine = grid_affine(COARSE, (224 / 48, 224 / 48, 176 / 24))
    ages, ventricles = [], []
    for number in range(40):
        person = head.draw_head("none", rng(number, 8))
        labels = draw_on(person, COARSE, affine, HERE).labels
        ages.append(person.age)
        ventricles.append((labels == person.label("ventricles")).sum() / (labels > 0).sum())
        right = np.argwhere(labels == person.label("right_hippocampus"))
        assert (right[:, 0] * affine[0, 0] + affine[0, 3]).mean() > 10
    assert np.corrcoef(ages, ventricles)[0, 1] > 0.4
    person = chest.draw_chest("none", rng(9))
    x = {part.structure: part.centre[0] for part in person.ellipsoids}
    assert x["liver"] > 0 > x["heart"]


@pytest.mark.parametrize("draw", [chest.draw_chest, head.draw_head])
def test_an_unknown_lesion_is_refused(draw):
    with pytest.raises(ValueError, match="one of none, smooth"):
        draw("flu", rng(0))


GRID = np.mgrid[-50:50:2, -50:50:2, -50:50:2].astype(np.float32)


def inside(kind, number=0):
    rng = np.random.default_rng([number, 1])
    return draw_lesion(kind, "right_lung", np.zeros(3), 20.0, rng).depth(GRID) < 1


def surface(mask):
    return sum(np.abs(np.diff(mask.astype(int), axis=axis)).sum() for axis in range(3)) / mask.sum() ** (2 / 3)


def test_a_smooth_one_is_a_ball_of_its_radius():
    assert inside("smooth").sum() * 8 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.02)
    np.testing.assert_array_equal(inside("ring"), inside("smooth"))


def test_a_spiculated_one_has_the_same_volume_and_far_more_surface():
    ball = inside("smooth")
    spiky = [inside("spiculated", number) for number in range(8)]
    assert np.mean([mask.sum() for mask in spiky]) == pytest.approx(ball.sum(), rel=0.15)
    assert min(surface(mask) for mask in spiky) > 1.3 * surface(ball)


def test_the_class_does_not_change_what_is_drawn_afterwards():
    following = []
    for kind in ("none", "smooth", "spiculated", "ring"):
        rng = np.random.default_rng(2)
        draw_lesion(kind, "right_lung", np.zeros(3), 20.0, rng)
        following.append(rng.random())
    assert len(set(following)) == 1


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="spiculated"):
        draw_lesion("flu", "right_lung", np.zeros(3), 20.0, np.random.default_rng(0))
