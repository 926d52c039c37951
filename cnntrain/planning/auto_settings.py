"""Settings that are `auto`, and `minutes`, replaced by what suits the device.

This happens before the spec is frozen. A run stays a pure function of its spec: what spec.yaml
holds is the number, or the precision.
"""

import time
from collections.abc import Mapping
from typing import Any

from cnntrain.planning.batch_size import find_largest_batch_size
from cnntrain.spec.build import build_provisional_spec, build_spec, list_open_settings
from cnntrain.spec.spec import Spec


def resolve_auto_settings(
    config: Mapping[str, Any], checked: Spec, config_dir: str | None
) -> tuple[dict[str, Any], Spec, list[str]]:
    """Return a configuration without `auto` and `minutes`, its spec, and a note on each decision.

    `checked` is the provisional spec. It is the spec unless something is `auto`, or `minutes` is
    given; only then is TensorFlow loaded. Raises SpecError where no batch or no epoch fits.
    """
    resolved, notes, began = dict(config), list[str](), time.perf_counter()
    asked = list_open_settings(config)
    if not asked:
        return resolved, checked, notes
    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        from cnntrain.training.devices.device import decide_for_device
        from cnntrain.training.devices.setup import configure_backend
    configure_backend(checked)
    if "precision" in asked:
        settings = decide_for_device(checked)
        resolved["precision"] = "mixed_bfloat16" if settings.bfloat16 else "float32"
        reason = settings.reasons["bfloat16"]
        notes.append(f"precision is auto: {resolved['precision']}, {reason}")
        checked = build_provisional_spec(resolved)
    if "batch_size" in asked:
        batch_size, reason = find_largest_batch_size(checked, config_dir)
        resolved["batch_size"] = batch_size
        notes.append(f"batch_size is auto: {batch_size}, {reason}")
        checked = build_provisional_spec(resolved)
    if "minutes" in asked:
        with silence_stderr():
            from cnntrain.planning.time_budget import find_epochs
        minutes, resolved["minutes"] = float(resolved["minutes"]), None
        resolved["epochs"], reason = find_epochs(checked, resolved, minutes, began, config_dir)
        notes.append(f"minutes is {minutes:g}: epochs={resolved['epochs']}, {reason}")
        checked = build_spec(resolved)
    return resolved, checked, notes
