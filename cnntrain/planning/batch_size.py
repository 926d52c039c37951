"""`batch_size: auto`: the largest power of two that fits, found before the spec is frozen.

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

    Its batch is then of as many images as there are pieces; `resolve_batch_size` says how many it
    will be.
    """
    if config.get("batch_size") != "auto":
        return build_spec(config)
    if (chosen := config["distribution"]["name"]) != "single":
        raise SpecError(
            f"batch_size is auto, which knows one device, and distribution is {chosen}",
            "distribution=single, or a number",
            "batch_size=128",
        )
    pieces = config.get("accumulate")
    stand_in = pieces if isinstance(pieces, int) and pieces > 0 else 1
    return build_spec({**config, "batch_size": stand_in})


def resolve_batch_size(
    config: Mapping[str, Any], checked: Spec, config_dir: str | None
) -> tuple[dict[str, Any], Spec, str | None]:
    """Return the configuration and its spec with a number for `batch_size: auto`, and what to say.

    `checked` is the provisional spec. It is the spec unless the size is `auto`; only then is
    TensorFlow loaded. Raises SpecError where nothing fits.
    """
    if config.get("batch_size") != "auto":
        return dict(config), checked, None
    number, why = find_largest_batch_size(checked, config_dir)
    found = {**config, "batch_size": number}
    return found, build_spec(found), f"batch_size is auto: {number}, {why}"


def find_largest_batch_size(checked: Spec, config_dir: str | None) -> tuple[int, str]:
    """The largest power of two of pieces that fits, and what it was limited by."""
    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        from cnntrain.planning.dataset_outline import outline_dataset
        from cnntrain.planning.step_memory import draft_network, estimate_memory
        from cnntrain.training.trainer import configure_backend
    configure_backend(checked)
    known = outline_dataset(checked, config_dir)
    needed = estimate_memory(checked, known, draft_network(checked, known))
    room = get_device_memory()
    pieces, count = checked.accumulate, len(known.splits.train)
    fits = needed.find_largest_batch(
        MEMORY_MARGIN * compute_step_memory(room, needed.graph + needed.dataset)
    )
    free = format_size(room.free)
    limits = {
        f"the largest power of two that fits in {MEMORY_MARGIN:.0%} of {free}": fits,
        f"as many as {count:,} training images allow": count // (checked.steps_per_epoch or 1),
        "the most that auto takes": MAX_AUTO_BATCH_SIZE,
    }
    why, limit = min(limits.items(), key=lambda item: item[1])
    if limit < pieces:
        raise SpecError(
            f"batch_size is auto and there is no room for {pieces} images in "
            f"{format_size(room.free)}",
            "a network and images that fit",
            "smaller images: dataset.image_size=[64,64]",
        )
    return pieces * 2 ** ((limit // pieces).bit_length() - 1), why


def compute_step_memory(room: "DeviceMemory", on_the_host: int) -> int:
    """What a device has left for the step: a CPU shares its memory with all else."""
    return room.free if room.is_gpu else max(0, room.free - on_the_host)


def get_device_memory() -> "DeviceMemory":
    """The memory of the device that TensorFlow will train on."""
    import tensorflow as tf

    from cnntrain.data.device_memory import query_gpus, read_machine_memory

    found = query_gpus() if tf.config.list_physical_devices("GPU") else []
    return (
        replace(found[0], free=compute_usable_memory(found[0].free))
        if found
        else read_machine_memory()
    )


def compute_usable_memory(free: int) -> int:
    """What TensorFlow takes of a GPU's free memory: all but 1,800 MiB.

    It leaves so much to the CUDA context and to libraries (`MinSystemMemory` in its gpu_device.cc),
    on older cards 500 to 1,536 MiB.
    """
    return max(0, free - 1800 * 2**20)
