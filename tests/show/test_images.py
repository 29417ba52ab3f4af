"""Images as PNG files, and maps drawn over them so that everybody can read them."""

import io

import numpy as np
from PIL import Image

from medcl.show import images as pictures


def test_high_is_yellow_and_light_and_what_is_not_found_has_no_tint() -> None:
    similarity = np.array([[-0.2, 0.0, 0.1, 0.5]], dtype=np.float32)
    black = np.zeros((1, 1, 4), dtype=np.float32)
    drawn = pictures.overlay(black, similarity)[0].astype(int)
    assert not drawn[:3].any()
    assert drawn[3, 0] > drawn[3, 2]
    higher = pictures.overlay(black, np.array([[-0.2, 0.0, 0.3, 0.5]], dtype=np.float32))[0].astype(int)
    assert higher[2, 2] > higher[2, 0], "just above the mean: blue"
    lightness = np.array(pictures.CIVIDIS) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    flat = pictures.overlay(np.ones((3, 4, 4), dtype=np.float32), np.full((4, 4), 0.3, dtype=np.float32))
    assert (flat == 255).all()


def test_a_colour_bar_stands_below_the_image() -> None:
    image = pictures.png(np.full((10, 20, 3), 255, dtype=np.uint8), 200)
    drawn = Image.open(io.BytesIO(pictures.with_colour_bar(image, 0.1, 0.42)))
    assert drawn.width == 200
    bar = np.asarray(drawn)[100 + pictures.GAP // 2 + 2]
    assert tuple(bar[0]) == pictures.CIVIDIS[0]
    assert tuple(bar[-1]) == pictures.CIVIDIS[-1]
    assert (np.asarray(drawn)[-12:] < 128).any(), "its ends are told in numbers"


def test_a_png_keeps_the_shape() -> None:
    picture = pictures.grey(np.random.default_rng(0).random((1, 10, 20), dtype=np.float32))
    opened = Image.open(io.BytesIO(pictures.png(picture, 80)))
    assert opened.size == (80, 40)
    assert pictures.data_uri(pictures.png(picture)).startswith("data:image/png;base64,")
