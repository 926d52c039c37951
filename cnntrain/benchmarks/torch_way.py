"""The same networks in PyTorch, and the loop that trains them on data in memory.

They have as many parameters as ours, which a test compares. Images are uint8 on the device; each
batch is gathered in random order and scaled to 0..1, without augmentation. On a CPU torch has one
thread.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from cnntrain.data.source import Splits
from cnntrain.spec.spec import Spec


def prepare_torch_epoch(model: str, spec: Spec, splits: Splits) -> Callable[[], float]:
    """Return a function that trains a network for an epoch, and returns the last step's loss."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    height, width, channels = splits.image_shape
    network = build_torch_network(model, (height, width), channels, len(splits.class_names))
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    images = torch.from_numpy(splits.train.images).to(device)  # (N, H, W, C): channels last
    images = images.permute(0, 3, 1, 2)
    labels = torch.from_numpy(splits.train.labels).long().to(device)
    is_half = spec.precision == "mixed_bfloat16"

    def train_epoch() -> float:
        order = torch.randperm(len(labels), device=device)
        for rows in order.split(spec.batch_size):
            pixels = images[rows].float() / 255
            with torch.autocast(device, torch.bfloat16, enabled=is_half):
                logits = network(pixels)
            loss = functional.cross_entropy(logits.float(), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return loss.item()  # waits for the device

    return train_epoch


def build_torch_network(
    model: str, size: tuple[int, int], channels: int, classes: int
) -> nn.Sequential:
    """Return one of the benchmark's networks: float images (B, C, H, W) in, logits out."""
    if model == "lenet5":
        return build_lenet5(size, channels, classes)
    if model == "cnn_cifar":
        return build_cnn(size, channels, classes)
    if model == "resnet20_v1":
        return build_resnet(channels, classes, (16, 32, 64), 3, is_projected=False)
    return build_resnet(channels, classes, (64, 128, 256, 512), 2, is_projected=True)


def build_lenet5(size: tuple[int, int], channels: int, classes: int) -> nn.Sequential:
    """Return models/lenet5.py with the knobs of conf/model/lenet5.yaml."""
    height, width = (((side - 4) // 2 - 4) // 2 for side in size)
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(16 * height * width, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU()),
        nn.Linear(84, classes),
    )


def build_cnn(size: tuple[int, int], channels: int, classes: int) -> nn.Sequential:
    """Return models/cnn.py with the knobs of conf/model/cnn_cifar.yaml."""
    stages: list[nn.Module] = []
    for before, after in zip((channels, 16, 32), (16, 32, 64), strict=True):
        stages += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    features = 64 * (size[0] // 8) * (size[1] // 8)
    return nn.Sequential(
        *stages,
        *(nn.Dropout(0.3), nn.Flatten(), nn.Linear(features, 500), nn.ReLU(), nn.Dropout(0.4)),
        nn.Linear(500, classes),
    )


def build_resnet(
    channels: int, classes: int, filters: tuple[int, ...], blocks: int, is_projected: bool
) -> nn.Sequential:
    """Return a ResNet of basic blocks for small images, with `blocks` in each stage."""
    layers: list[nn.Module] = [*build_conv_norm(channels, filters[0], 3, 1), nn.ReLU()]
    before = filters[0]
    for stage, after in enumerate(filters):
        for number in range(blocks):
            strides = 2 if stage and not number else 1
            layers.append(Block(before, after, strides, is_projected))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def build_conv_norm(before: int, after: int, kernel: int, strides: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, strides, kernel // 2, bias=False), nn.BatchNorm2d(after)
    )


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut around them, padded with zeros or projected."""

    def __init__(self, before: int, after: int, strides: int, is_projected: bool):
        super().__init__()
        first = build_conv_norm(before, after, 3, strides)
        self.body = nn.Sequential(first, nn.ReLU(), build_conv_norm(after, after, 3, 1))
        self.strides, self.missing = strides, after - before
        self.projection = (
            build_conv_norm(before, after, 1, strides) if is_projected and strides > 1 else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x
        if self.projection is not None:
            shortcut = self.projection(x)
        elif self.strides > 1:
            sides = (self.missing // 2, self.missing - self.missing // 2)
            strided = x[:, :, :: self.strides, :: self.strides]
            shortcut = functional.pad(strided, (0, 0, 0, 0, *sides))
        return functional.relu(self.body(x) + shortcut)
