"""Search by cosine similarity beside the matrix of all."""

import numpy as np
import pytest

from medcl.embed.vectors import unit
from medcl.reduce import encoders as module
from medcl.reduce.encoders import cosines, search


@pytest.mark.parametrize("blocks", [(1024, 8192), (7, 5)])
@pytest.mark.parametrize("threshold", [-1, 0.2, 0.9, 1])
def test_blocks_find_what_the_matrix_holds(
    threshold: float, blocks: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", blocks[0])
    monkeypatch.setattr(module, "COLUMNS", blocks[1])
    rng = np.random.default_rng(0)
    a = unit(rng.normal(size=(40, 3)))
    b = unit(np.concatenate([3 * a[:10], rng.normal(size=(23, 3))]))
    expected = a.astype(np.float64) @ b.T.astype(np.float64)
    np.testing.assert_allclose(cosines(a, b), expected, atol=2e-6)
    found = sorted(
        pair for part in search(a, b, threshold) for pair in zip(part.first.tolist(), part.second.tolist(), strict=True)
    )
    assert found == [tuple(pair) for pair in np.argwhere(np.round(expected, 6) >= threshold).tolist()]
    assert len(found) >= 10  # the copies, at any threshold


def test_a_vector_of_zeros_is_similar_to_none() -> None:
    vectors = unit(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(cosines(vectors, vectors), [[0, 0], [0, 1]])
