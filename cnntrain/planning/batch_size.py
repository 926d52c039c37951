"""`batch_size: auto`: the largest of `accumulate` x 2^k that fits, found before the spec is frozen.

A run stays a pure function of its spec: what spec.yaml holds is the number. Where there are fewer
training images, the batch that is trained has as many, a function of spec and data.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnntrain.errors import SpecError
from cnntrain.spec.build import build_spec
from cnntrain.spec.spec import Spec
from cnntrain.terminal.units import format_size

if TYPE_CHECKING:
    from cnntrain.data.device_memory import DeviceMemory


MAX_AUTO_BATCH_SIZE = 512  # beyond, a step gains little and an epoch has too few of them
MEMORY_MARGIN = 0.8  # of what is free: the estimate may be 20 % too low


def build_provisional_spec(config: Mapping[str, Any]) -> Spec:
    """Return the spec of a configuration whose `batch_size` may be `auto`, to find mistakes.

    The batch size is then the number of micro-batches, a stand-in until `resolve_batch_size`.
    """
    if config.get("batch_size") != "auto":
        return build_spec(config)
    if (chosen := config["distribution"]["name"]) != "single":
        raise SpecError(
            f"batch_size is auto, which knows one device, and distribution is {chosen}",
            "distribution=single, or a number",
            "batch_size=128",
        )
    micro_batches = config.get("accumulate")
    stand_in = micro_batches if isinstance(micro_batches, int) and micro_batches > 0 else 1
    return build_spec({**config, "batch_size": stand_in})


def resolve_batch_size(
    config: Mapping[str, Any], checked: Spec, config_dir: str | None
) -> tuple[dict[str, Any], Spec, str | None]:
    """Return a configuration and its spec, with a number for `batch_size: auto`, and a note.

    The note says how an `auto` was decided, and is None for a number. `checked` is the provisional
    spec. It is the spec unless the size is `auto`; only then is TensorFlow loaded. Raises
    SpecError where nothing fits.
    """
    if config.get("batch_size") != "auto":
        return dict(config), checked, None
    batch_size, reason = find_largest_batch_size(checked, config_dir)
    resolved = {**config, "batch_size": batch_size}
    return resolved, build_spec(resolved), f"batch_size is auto: {batch_size}, {reason}"


def find_largest_batch_size(checked: Spec, config_dir: str | None) -> tuple[int, str]:
    """Return the largest of `accumulate` x 2^k that fits, and the reason that it is no larger."""
    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        from cnntrain.planning.dataset_outline import outline_dataset
        from cnntrain.planning.step_memory import draft_network, estimate_memory
        from cnntrain.training.devices.setup import configure_backend
    configure_backend(checked)
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
