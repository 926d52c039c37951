"""What an installation brings, and what the files that describe the project say."""

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TRACKERS = ("mlflow", "tensorboard", "wandb")
LAUNCHERS = ("optuna", "ray", "submitit")


def list_plain_packages(name: str, seen: set[str]) -> Iterator[str]:
    """The packages that installing one brings on this machine, without its extras."""
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        needed = canonicalize_name(requirement.name)
        if needed in seen or (requirement.marker and not requirement.marker.evaluate()):
            continue
        seen.add(needed)
        yield needed
        yield from list_plain_packages(needed, seen)


def test_plain_package_brings_no_tracker_and_no_launcher():
    plain = set(list_plain_packages("cnntrain", set()))
    assert "tensorflow" in plain
    assert not plain & {*TRACKERS, *LAUNCHERS, "jax", "onnx", "pytest"}


def test_lock_has_a_version_of_every_package_that_training_needs():
    """`make train` takes the lock as a constraint, which says nothing of a package it lacks."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(line.split("==")[0]) for line in lines if re.match(r"[\w.-]+==", line)
    }
    assert set(list_plain_packages("cnntrain", set())) <= pinned
