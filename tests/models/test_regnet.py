"""RegNetX: the published widths, depths and counts, and the blocks layer by layer."""

import re

import pytest

from cnntrain.errors import SpecError
from cnntrain.models.regnet import compute_stages
from helpers.layers import describe_layers

# Trainable parameters of timm (regnetx_002, _004, _006, _008, _016; of torchvision, too, but for
# 400MF: it rounds 392 / 16 = 24.5 groups up, to 5,495,976 parameters, and the authors to 24).
COUNTS = {
    ("regnetx_200mf", (224, 224, 3), 1000, ()): (None, 2_684_792),
    # without 368 * 990 weights and 990 biases
    ("regnetx_200mf", (32, 32, 3), 10, ("model.stem=cifar",)): (None, 2_319_482),
    ("regnetx_400mf", (224, 224, 3), 1000, ()): (None, 5_157_512),
    (
        "regnetx_200mf",
        (224, 224, 3),
        1000,
        (
            "model.depth=16",
            "model.w_0=48",
            "model.w_a=36.97",
            "model.w_m=2.24",
            "model.group_width=24",
        ),
    ): (None, 6_196_040),
    (
        "regnetx_200mf",
        (224, 224, 3),
        1000,
        (
            "model.depth=16",
            "model.w_0=56",
            "model.w_a=35.73",
            "model.w_m=2.28",
            "model.group_width=16",
        ),
    ): (None, 7_259_656),
}
HEAVY = {
    "regnetx_200mf": "four seconds: each group of a convolution is a layer",
    "regnetx_400mf": "four seconds: each group of a convolution is a layer",
}
# Depth, w_0, w_a, w_m and group width -> the widths and blocks of the stages: of the paper's
# Figures 15 to 17.
PUBLISHED = {
    "200MF": ((13, 24, 36.44, 2.49, 8), (24, 56, 152, 368), (1, 1, 4, 7)),
    "400MF": ((22, 24, 24.48, 2.54, 16), (32, 64, 160, 384), (1, 2, 7, 12)),
    "600MF": ((16, 48, 36.97, 2.24, 24), (48, 96, 240, 528), (1, 3, 5, 7)),
    "800MF": ((16, 56, 35.73, 2.28, 16), (64, 128, 288, 672), (1, 3, 7, 5)),
    "1.6GF": ((18, 80, 34.01, 2.25, 24), (72, 168, 408, 912), (2, 4, 10, 2)),
    "3.2GF": ((25, 88, 26.31, 2.25, 48), (96, 192, 432, 1008), (2, 6, 15, 2)),
    "32GF": ((23, 320, 69.86, 2.0, 168), (336, 672, 1344, 2520), (2, 7, 13, 1)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_widths_and_depths_are_published(name):
    numbers, widths, depths = PUBLISHED[name]
    assert compute_stages(*numbers) == list(zip(widths, depths, strict=True))


def join_groups(rows: list[str]) -> list[str]:
    """Return rows in which the convolutions of groups are one, without rows of padding."""
    text = "\n".join(row for row in rows if not row.startswith("zeropadding2d"))
    groups = re.compile(r"split \S+((?:\nbranch\nconv 3x3(?:/2)? \S+)+)\nconcatenate (\S+)")

    def join(match: re.Match[str]) -> str:
        parts = match[1].replace("branch\n", "").split("\n")[1:]
        assert len(set(parts)) == 1
        return f"{parts[0].rpartition(' ')[0]} in {len(parts)} groups {match[2]}"

    return groups.sub(join, text).split("\n")


def expected_rows(size: int, stem_stride: int, classes: int) -> list[str]:
    """Return the rows of RegNetX-200MF, block by block as in the authors' table and Figure 4."""
    before, size = size, size // stem_stride
    stem = f"{size}x{size}x32"
    rows = [f"conv 3x3{'/2' if stem_stride == 2 else ''} {stem}", f"batch norm {stem}"]
    rows.append(f"relu {stem}")
    for width, blocks in zip((24, 56, 152, 368), (1, 1, 4, 7), strict=True):
        for number in range(blocks):
            stride, before = ("/2", size) if number == 0 else ("", size // 2)
            inner, out = f"{before}x{before}x{width}", f"{size // 2}x{size // 2}x{width}"
            rows += ["branch"]
            rows += [f"conv 1x1{stride} {out}", f"batch norm {out}"] if number == 0 else []
            rows += ["branch", f"conv 1x1 {inner}", f"batch norm {inner}", f"relu {inner}"]
            rows += [f"conv 3x3{stride} in {width // 8} groups {out}", f"batch norm {out}"]
            rows += [f"relu {out}", f"conv 1x1 {out}", f"batch norm {out}"]
            rows += [f"add {out}", f"relu {out}"]
        size //= 2
    return [*rows, "global average pool 368", f"dense {classes}"]


@pytest.mark.parametrize(
    ("size", "stem", "classes"),
    [(224, "imagenet", 1000), pytest.param(32, "cifar", 10, marks=pytest.mark.slow)],
)
def test_layers_are_those_of_the_paper(spec, size, stem, classes):
    model = spec("model=regnetx_200mf", f"model.stem={stem}").model((size, size, 3), classes)
    rows = join_groups(describe_layers(model))
    assert rows == expected_rows(size, 2 if stem == "imagenet" else 1, classes)


def test_too_small_images_and_a_factor_of_one_are_refused(spec):
    with pytest.raises(SpecError, match="16x32") as refused:
        spec("model=regnetx_200mf").model((16, 32, 3), 10)
    assert refused.value.hint == "model.stem=cifar or dataset.image_size=[32,32]"
    with pytest.raises(SpecError, match=r"model\.w_m is 1"):
        spec("model=regnetx_200mf", "model.w_m=1").model((32, 32, 3), 10)
