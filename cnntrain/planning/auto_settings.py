"""Settings that are `auto`, replaced by what suits the device before the spec is frozen.

A run stays a pure function of its spec: what spec.yaml holds is the number, or the precision.
"""

from collections.abc import Mapping
from typing import Any

from cnntrain.planning.batch_size import find_largest_batch_size
from cnntrain.spec.build import AUTO_SETTINGS, build_provisional_spec, build_spec
from cnntrain.spec.spec import Spec


def resolve_auto_settings(
    config: Mapping[str, Any], checked: Spec, config_dir: str | None
) -> tuple[dict[str, Any], Spec, list[str]]:
    """Return a configuration without any `auto`, its spec, and a note on each decision.

    `checked` is the provisional spec. It is the spec unless something is `auto`; only then is
    TensorFlow loaded. Raises SpecError where no batch fits.
    """
    resolved, notes = dict(config), list[str]()
    if not any(config.get(setting) == "auto" for setting in AUTO_SETTINGS):
        return resolved, checked, notes
    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        from cnntrain.training.devices.device import decide_for_device
        from cnntrain.training.devices.setup import configure_backend
    configure_backend(checked)
    if config.get("precision") == "auto":
        settings = decide_for_device(checked)
        resolved["precision"] = "mixed_bfloat16" if settings.bfloat16 else "float32"
        reason = settings.reasons["bfloat16"]
        notes.append(f"precision is auto: {resolved['precision']}, {reason}")
        checked = build_provisional_spec(resolved)
    if config.get("batch_size") == "auto":
        batch_size, reason = find_largest_batch_size(checked, config_dir)
        resolved["batch_size"] = batch_size
        notes.append(f"batch_size is auto: {batch_size}, {reason}")
        checked = build_spec(resolved)
    return resolved, checked, notes
