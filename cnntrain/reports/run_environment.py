"""List where a run was trained: times, machine, versions, commit and hashes."""

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
