"""Name a run and its commands, and list where it was trained: times, machine, versions."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MAX_NAMED_CLASSES = 4  # in the title of a run on a folder of images


def list_environment(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of the section Environment: times, machine, versions, commit and hashes."""
    device, git, data = (record.get(key, {}) for key in ("device", "git", "data"))
    changed = ", with changes" if git.get("dirty") else ""
    rows = [
        ("began", record.get("started")),
        ("ended", record.get("ended")),
        ("resumed", ", ".join(record.get("resumed", []))),
        ("device", " ".join([device.get("kind", ""), *map(str, device.get("gpus", []))]).strip()),
        ("threads", device.get("threads")),
        ("processor", record.get("processor")),
        ("platform", record.get("platform")),
        *record.get("versions", {}).items(),
        ("git commit", f"{git['commit']}{changed}" if "commit" in git else None),
        ("spec hash", record.get("spec_hash")),
        ("data fingerprint", data.get("fingerprint")),
        ("broken photos, replaced by others", len(data.get("replaced", {}))),
        ("photos that have changed", len(data.get("changed", []))),
    ]
    return [(name, str(value)) for name, value in rows if value]


def list_run_commands(record: Mapping[str, Any]) -> list[str]:
    """Return the command that trains the run again, without the folder that it was written to.

    If settings were changed when it was resumed, a second one changes them.
    """
    words = [word for word in record.get("overrides", []) if not word.startswith("hydra.")]
    changes = record.get("changes", [])
    return [
        shlex.join(["cnntrain", *words]),
        *([shlex.join(["cnntrain", "resume", "RUN", *changes])] if changes else []),
    ]


def format_run_title(settings: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Return the title of a run: `lenet5 on digits`, or `mobilenet on photos: cats, dogs`.

    A folder of images, and a table of them, has its own name and its classes.
    """
    own = settings.get("dataset.table") or settings.get("dataset.folder")
    if not isinstance(own, str):
        return f"{settings.get('model')} on {settings.get('dataset')}"
    few = 0 < len(class_names) <= MAX_NAMED_CLASSES
    classes = ", ".join(class_names) if few else f"{len(class_names):,} classes"
    return f"{settings.get('model')} on {Path(own).resolve().name}: {classes}"
