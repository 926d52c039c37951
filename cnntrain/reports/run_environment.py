"""List by which commands and where a run was trained: times, machine, versions, hashes."""

import shlex
from collections.abc import Mapping
from typing import Any


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
