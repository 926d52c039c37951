"""Run the network of a page in V8, the JavaScript of Chromium, without a browser."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

# Images and results travel as base64 text.
CALLS = """
const network = new Network(PROGRAM, WEIGHTS);
function predictImage(image, output) {
  const array = network.run(decodeBase64(image))[network.outputs[output]];
  return new Uint8Array(array.buffer).toBase64();
}
function computeHeat(image, target) {
  const map = network.computeGradCam(network.run(decodeBase64(image)), target);
  return new Uint8Array(map.buffer).toBase64();
}
"""


def read_script(page: str, name: str) -> str:
    """Return the content of the script element with the id `name` of a page."""
    found = re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None, name
    return found[1]


@contextmanager
def open_page(path: Path) -> Iterator[Callable[..., Any]]:
    """Yield a function that calls a JavaScript function of CALLS by its name."""
    from py_mini_racer import MiniRacer

    page = path.read_text(encoding="utf-8")
    scripts = [read_script(page, name) for name in ("network-script", "pixels-script")]
    scripts.append(f"const PROGRAM = {read_script(page, 'program')};")
    scripts.append(f"const WEIGHTS = {json.dumps(read_script(page, 'weights').strip())};")
    with MiniRacer() as engine:
        engine.eval("\n".join([*scripts, CALLS]))
        yield engine.call


def run_page(path: Path, output: str = "probabilities") -> Callable[[np.ndarray], np.ndarray]:
    """Return a predictor that runs the network of a page: images (B, H, W, C) to an output."""

    def predict(images: np.ndarray) -> np.ndarray:
        with open_page(path) as call:
            texts = [
                call("predictImage", base64.b64encode(image.tobytes()).decode(), output)
                for image in images
            ]
        rows = [np.frombuffer(base64.b64decode(text), "<f4") for text in texts]
        stacked = np.stack(rows)
        return stacked[:, 0] if output == "unfamiliarity" else stacked

    return predict
