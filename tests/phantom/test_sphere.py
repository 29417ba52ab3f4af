import numpy as np
import pytest

from medcl.phantom.sphere import lead_field, unit


def neumann(electrode, source):
    d = np.linalg.norm(electrode - source)
    return (2 / d - np.log(1 - electrode @ source + d)) / 3


def test_lead_field_is_the_gradient_of_the_spheres_neumann_function():
    rng = np.random.default_rng(0)
    electrodes, sources = unit(rng.normal(size=(4, 3))), unit(rng.normal(size=(3, 3))) * [[0.2], [0.6], [0.9]]
    step = 1e-6
    expected = np.empty((3, 4, 3))
    for s, source in enumerate(sources):
        for e, electrode in enumerate(electrodes):
            for k, axis in enumerate(np.eye(3)):
                ahead, behind = (neumann(electrode, source + sign * step * axis) for sign in (1, -1))
                expected[s, e, k] = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(lead_field(electrodes, sources), expected, rtol=1e-6)


def test_a_central_dipole_is_seen_as_the_cosine_of_the_angle():
    electrodes = unit(np.random.default_rng(1).normal(size=(5, 3)))
    np.testing.assert_allclose(lead_field(electrodes, [(0, 0, 0)])[0], electrodes, atol=1e-12)


def test_no_current_leaves_the_sphere_so_potentials_average_to_zero_over_it():
    electrodes = unit(np.random.default_rng(2).normal(size=(200_000, 3)))
    field = lead_field(electrodes, [(0.3, -0.2, 0.4)])[0]
    assert np.abs(field.mean(axis=0)).max() < 0.02 * field.std()


def test_a_source_outside_the_sphere_is_refused():
    with pytest.raises(ValueError, match="on or outside"):
        lead_field([(0, 0, 1)], [(0, 0, 1.0)])
