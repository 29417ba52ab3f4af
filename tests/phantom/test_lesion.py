import numpy as np
import pytest

from medcl.phantom.lesion import draw_lesion

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
