"""The pixels that the page makes of a picture, in V8, against Pillow."""

import base64

import numpy as np
import pytest
from PIL import Image

from cnntrain.data.photos.photo import Frame, reframe_image
from cnntrain.reports.webpage import PAGES

CALL = """
function reframe(pixels, width, height, channels, resize, wide, tall) {
  const picture = { width, height, pixels: Uint8Array.fromBase64(pixels) };
  const frame = { width: wide, height: tall, channels, resize };
  return fitToFrame(convertColors(picture, channels), frame).pixels.toBase64();
}
function enlarge(map, width, height, wide, tall) {
  const pixels = new Float32Array(Uint8Array.fromBase64(map).buffer);
  const whole = { width, height, channels: 1, pixels };
  const larger = resample(whole, [0, 0, width, height], wide, tall);
  return new Uint8Array(larger.pixels.buffer).toBase64();
}
"""


@pytest.fixture(scope="module")
def engine():
    racer = pytest.importorskip("py_mini_racer")
    with racer.MiniRacer() as engine:
        engine.eval((PAGES / "demo_pixels.js").read_text() + CALL)
        yield engine


def reframe_in_javascript(engine, image, frame):
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    (height, width), (tall, wide) = image.shape[:2], frame.size
    pixels = base64.b64encode(rgba.tobytes()).decode()
    text = engine.call("reframe", pixels, width, height, frame.channels, frame.resize, wide, tall)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(frame.shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_pixels_are_those_of_pillow_to_one_level(engine, resize, channels):
    """Newer Pillows resize columns first where that is faster, which rounds otherwise."""
    random, differences = np.random.default_rng(0), []
    for _ in range(15):
        height, width, tall, wide = (int(n) for n in random.integers(2, 90, 4))
        frame = Frame((tall, wide), channels, resize, None)
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        expected = reframe_image(image, frame)
        found = reframe_in_javascript(engine, image, frame)
        differences.append(np.abs(found.astype(int) - expected))
    assert max(part.max() for part in differences) <= 1
    assert sum(not part.any() for part in differences) >= 3


@pytest.mark.parametrize("size", [(30, 40), (30, 7), (99, 40), (1, 40)])
def test_pixels_are_exact_where_one_axis_is_resized(engine, size):
    image = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    frame = Frame(size, 3, "stretch", None)
    found = reframe_in_javascript(engine, image, frame)
    np.testing.assert_array_equal(found, reframe_image(image, frame))


def test_a_heat_map_is_enlarged_as_look_does(engine):
    heat = np.random.default_rng(2).random((5, 7), np.float32)
    text = engine.call("enlarge", base64.b64encode(heat.tobytes()).decode(), 7, 5, 32, 24)
    found = np.frombuffer(base64.b64decode(text), np.float32).reshape(24, 32)
    expected = np.asarray(Image.fromarray(heat).resize((32, 24), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
