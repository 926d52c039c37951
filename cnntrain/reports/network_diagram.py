"""A network as a picture: its layers from left to right, as high as their maps are wide."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, BASE, GAP = 1040, 250, 200, 2  # units of the picture; where the layers stand
TALLEST, LOWEST = 170, 14
LABEL_SPACING = 58  # between two labels at least
KINDS = (("Conv", "conv"), ("Dense", "dense"), ("Pool", "pool"), ("Norm", "norm"))


def build_diagram(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Boxes and labels: a box a layer, its height the logarithm of its map's side or its units.

    A label says what comes out where that changes.
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
                "title": f"{layer['layer']}: {layer['kind']} {layer['window'] or ''}".rstrip()
                + f", {shape}, {layer['parameters']:,} parameters",
            }
        )
        place = min(max(x, LABEL_SPACING / 2), WIDTH - LABEL_SPACING / 2)
        changed = number == 0 or layers[number - 1]["output"] != layer["output"]
        if changed and place - free >= LABEL_SPACING:
            labels.append({"x": round(place, 1), "text": shape})
            free = place
    return {"boxes": boxes, "labels": labels, "width": WIDTH, "height": HEIGHT, "base": BASE}


def compute_layer_side(output: Sequence[int]) -> float:
    """The side of a map, or the square root of so many units."""
    return math.sqrt(math.prod(output[:-1]) if len(output) > 1 else output[0])


def classify_layer(name: str) -> str:
    return next((kind for part, kind in KINDS if part in name), "other")
