"""A diagram of a network: its layers from left to right, as high as their feature maps are wide."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, BASE, GAP = 1040, 250, 200, 2  # units of the SVG; BASE is the y of the boxes' feet
TALLEST, LOWEST = 170, 14
LETTER_WIDTH = 7  # of a label, whose letters are 11 units high
KINDS = (("Conv", "conv"), ("Dense", "dense"), ("Pool", "pool"), ("Norm", "norm"), ("LRN", "norm"))


def build_diagram(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the boxes and labels of a diagram, for the template of the page.

    Each layer is a box. On a logarithmic scale, its height is the side of its feature maps, or the
    square root of its units. A label says the shape of an output where that changes.
    """
    sizes = [compute_layer_side(layer["output"]) for layer in layers]
    largest = max(sizes, default=1)
    step = WIDTH / max(1, len(layers))
    width = max(1.0, min(26.0, step - GAP))
    boxes, labels, free = [], [], -math.inf
    for number, (layer, side) in enumerate(zip(layers, sizes, strict=True)):
        x = (number + 0.5) * step
        height = LOWEST + (TALLEST - LOWEST) * math.log(side + 1) / math.log(largest + 1)
        shape = "×".join(map(str, layer["output"]))
        boxes.append(
            {
                "x": round(x - width / 2, 1),
                "y": round(BASE - height, 1),
                "width": round(width, 1),
                "height": round(height, 1),
                "kind": classify_layer(layer["kind"]),
                "title": f"{layer['layer']}: {layer['what']}, {shape}, "
                f"{layer['parameters']:,} parameters",
            }
        )
        half = (len(shape) + 1) * LETTER_WIDTH / 2
        place = min(max(x, half), WIDTH - half)
        changed = number == 0 or layers[number - 1]["output"] != layer["output"]
        if changed and place - half >= free:
            labels.append({"x": round(place, 1), "text": shape})
            free = place + half
    return {"boxes": boxes, "labels": labels, "width": WIDTH, "height": HEIGHT, "base": BASE}


def compute_layer_side(output: Sequence[int]) -> float:
    """Return the side of a layer's feature maps, or the square root of the number of its units."""
    return math.sqrt(math.prod(output[:-1]) if len(output) > 1 else output[0])


def classify_layer(name: str) -> str:
    """Return the class of a layer's kind in the style sheet, such as "conv" for Conv2D."""
    return next((kind for part, kind in KINDS if part in name), "other")
