"""PyTorch's eager training step, for `scripts/gpu_check.py`: NETWORK BATCH STEPS -> images/s."""

import statistics
import sys
import time
from collections.abc import Sequence

import torch
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.body(x) + self.shortcut(x))


def measure_torch(network: str, batch: int, steps: int) -> float:
    """Return the images per second of PyTorch's eager training step, the data on the device.

    ResNet-18 computes in bfloat16 and ResNet-20 in float32. There is no augmentation, and no
    determinism; cuDNN tries which of its kernels are fastest.
    """
    on_gpu = torch.cuda.is_available()
    place = torch.device("cuda" if on_gpu else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    wide = network == "resnet18"
    model = build_torch_resnet((64, 128, 256, 512) if wide else (16, 32, 64), 2 if wide else 3)
    model = model.to(place).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    count = 50_000 if on_gpu else 500
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, device=place)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (count,), device=place)
    half = torch.autocast(place.type, dtype=torch.bfloat16, enabled=wide)

    def make_step() -> None:
        rows = torch.randint(0, count, (batch,), device=place)
        pixels = ((images[rows].float() - 127) / 64).contiguous(memory_format=torch.channels_last)
        with half:
            loss = nn.functional.cross_entropy(model(pixels), labels[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def time_steps(number: int) -> float:
        began = time.perf_counter()
        for _ in range(number):
            make_step()
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    time_steps(max(2, steps // 5))
    return round(batch * steps / statistics.median(time_steps(steps) for _ in range(3)), 1)


def build_torch_resnet(filters: Sequence[int], depth: int) -> nn.Module:
    """Return a ResNet of basic blocks for 32x32 images, with `depth` blocks for each width."""
    first = filters[0]
    layers = [nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()]
    inputs = first
    for stage, outputs in enumerate(filters):
        for number in range(depth):
            layers.append(Block(inputs, outputs, 2 if stage and not number else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


if __name__ == "__main__":
    print(measure_torch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
