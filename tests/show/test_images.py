"""Images as PNG files, and maps drawn over them so that everybody can read them."""

import io

import numpy as np
from PIL import Image

from medcl.show import images as pictures


def test_high_is_yellow_and_light_low_is_blue_and_dark() -> None:
    similarity = np.array([[-0.2, 0.4]], dtype=np.float32)
    low, high = pictures.overlay(np.zeros((1, 1, 2), dtype=np.float32), similarity)[0].astype(int)
    assert low[2] > low[0]
    assert high[0] > high[2]
    lightness = np.array(pictures.CIVIDIS) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    flat = pictures.overlay(np.ones((3, 4, 4), dtype=np.float32), np.full((4, 4), 0.3, dtype=np.float32))
    assert (flat == flat[0, 0]).all()


def test_a_png_keeps_the_shape() -> None:
    picture = pictures.grey(np.random.default_rng(0).random((1, 10, 20), dtype=np.float32))
    opened = Image.open(io.BytesIO(pictures.png(picture, 80)))
    assert opened.size == (80, 40)
    assert pictures.data_uri(pictures.png(picture)).startswith("data:image/png;base64,")
