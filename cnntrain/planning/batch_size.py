"""`batch_size: auto`: the largest of `accumulate` x 2^k that fits into the device's memory.

Where there are fewer training images, the batch that is trained has as many, a function of spec and
data.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from cnntrain.errors import SpecError
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size

if TYPE_CHECKING:
    from cnntrain.data.device_memory import DeviceMemory


MAX_AUTO_BATCH_SIZE = 512  # beyond, a step gains little and an epoch has too few of them
MEMORY_MARGIN = 0.8  # of what is free: the estimate may be 20 % too low


def find_largest_batch_size(checked: Spec, config_dir: str | None) -> tuple[int, str]:
    """Return the largest of `accumulate` x 2^k that fits, and the reason that it is no larger."""
    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        from cnntrain.planning.dataset_outline import outline_dataset
        from cnntrain.planning.step_memory import draft_network, estimate_memory
    outline = outline_dataset(checked, config_dir)
    memory = estimate_memory(checked, outline, draft_network(checked, outline))
    device = get_device_memory()
    micro_batches, images = checked.accumulate, len(outline.splits.train)
    steps = checked.steps_per_epoch or 1
    free = format_size(device.free)
    limits = {
        f"{MEMORY_MARGIN:.0%} of {free}": memory.find_largest_batch(
            MEMORY_MARGIN * compute_memory_for_step(device, memory.host_bytes)
        ),
        f"{images:,} training images" + (f" in {steps} steps" if steps > 1 else ""): images
        // steps,
        f"auto's limit of {MAX_AUTO_BATCH_SIZE}": MAX_AUTO_BATCH_SIZE,
    }
    limit_name, limit = min(limits.items(), key=lambda item: item[1])
    if limit < micro_batches:
        raise SpecError(
            f"batch_size is auto and there is no room for {micro_batches} images in {limit_name}",
            "a network and images that fit",
            "smaller images: dataset.image_size=[64,64]",
        )
    kind = "power of two" if micro_batches == 1 else f"of {micro_batches} x 2^k"
    doublings = (limit // micro_batches).bit_length() - 1
    return micro_batches * 2**doublings, f"the largest {kind} within {limit_name}"


def compute_memory_for_step(device: "DeviceMemory", host_bytes: int) -> int:
    """Return the bytes that are free for a step: on a CPU, less what the host needs besides."""
    return device.free if device.is_gpu else max(0, device.free - host_bytes)


def get_device_memory() -> "DeviceMemory":
    """Return the memory of the device that TensorFlow will train on."""
    import tensorflow as tf

    from cnntrain.data.device_memory import query_gpus, read_machine_memory

    found = query_gpus() if tf.config.list_physical_devices("GPU") else []
    return (
        replace(found[0], free=compute_usable_memory(found[0].free))
        if found
        else read_machine_memory()
    )


def compute_usable_memory(free: int) -> int:
    """Return the bytes that TensorFlow takes of a GPU's free memory: all but 1,800 MiB.

    It leaves so much to the CUDA context and to libraries (`MinSystemMemory` in its gpu_device.cc),
    on older cards 500 to 1,536 MiB.
    """
    return max(0, free - 1800 * 2**20)
