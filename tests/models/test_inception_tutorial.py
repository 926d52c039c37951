"""The Inception of a course, and the naive module beside its own, layer by layer."""

import pytest

from cnntrain.analysis.layer_table import count_totals
from helpers.layers import build_paper_network, describe_layers, read_table

COUNTS = {
    ("inception_tutorial", (224, 224, 3), 17, ()): (5_448_529, 5_448_529),
    # Ours to choose; the weights are counted by hand below.
    ("inception_naive", (224, 224, 3), 17, ()): (20_501_105, 20_501_105),
}

# The tutorial's rows: f0 -> f1, 1x1 and 3x3; f2 -> f3, 1x1 and 5x5; f4 behind the pool.
TUTORIAL = {
    112: [(64, 96, 128, 16, 32), (128, 128, 192, 32, 96)],
    56: [
        (192, 96, 208, 16, 48),
        (160, 112, 224, 24, 64),
        (128, 128, 256, 24, 64),
        (112, 144, 288, 32, 64),
    ],
    28: [(256, 160, 320, 32, 128), (256, 160, 320, 32, 128), (384, 192, 384, 48, 128)],
}


def list_tutorial_rows(naive: bool) -> list[str]:
    """Return the rows of the tutorial's network, with its modules or with naive ones."""
    rows = read_table("conv 3x3 224x224x64\nrelu 224x224x64")
    depth = 64
    for side, modules in TUTORIAL.items():
        rows.append(f"max pool 2x2/2 {side}x{side}x{depth}")
        for f0, f1, f2, f3, f4 in modules:
            towers = [[("conv 1x1", f0), ("conv 3x3", f1)], [("conv 1x1", f2), ("conv 5x5", f3)]]
            towers.append([("max pool 3x3", depth), ("conv 1x1", f4)])
            if naive:
                towers = [[("conv 1x1", f4)], [("conv 3x3", f1)], [("conv 5x5", f3)]]
                towers.append([("max pool 3x3", depth)])
            for tower in towers:
                rows.append("branch")
                for kind, filters in tower:
                    rows.append(f"{kind} {side}x{side}x{filters}")
                    if kind.startswith("conv"):
                        rows.append(f"relu {side}x{side}x{filters}")
            depth = sum(tower[-1][1] for tower in towers)
            rows.append(f"concatenate {side}x{side}x{depth}")
    flat = 7 * 7 * depth
    return [*rows, f"average pool 4x4/4 7x7x{depth}", f"flatten {flat}", "dense 17"]


@pytest.mark.parametrize(
    ("option", "naive", "giga"),
    [("inception_tutorial", False, 13.54), ("inception_naive", True, 33.34)],
)
def test_tutorial_has_the_layers_of_its_table(option, naive, giga):
    network = build_paper_network(option)
    assert describe_layers(network) == list_tutorial_rows(naive)
    assert count_totals(network)["multiply_adds"] == pytest.approx(giga * 1e9, rel=1e-3)


def test_naive_modules_have_the_weights_counted_by_hand():
    """Each convolution reads all feature maps, and each module adds its own to them."""
    depth, weights = 64, 3 * 9 * 64 + 64
    for _, f1, _, f3, f4 in [row for rows in TUTORIAL.values() for row in rows]:
        weights += depth * (f4 + 9 * f1 + 25 * f3) + f1 + f3 + f4
        depth += f1 + f3 + f4
    weights += 7 * 7 * depth * 17 + 17
    assert count_totals(build_paper_network("inception_naive"))["parameters"] == weights


def test_tutorial_may_be_normalised():
    normed = build_paper_network("inception_tutorial", ["model.batch_norm=true"])
    assert sum(row.startswith("batch norm") for row in describe_layers(normed)) == 1 + 9 * 5
