"""What an installation brings, and what the files that describe the project say."""

import importlib.metadata
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cnntrain

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
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


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def list_make_targets() -> set[str]:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    return {line.split(":")[0] for line in lines if re.match(r"[a-z-]+:(?!=)", line)}


def list_steps(workflow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflow_calls_targets_that_exist_and_may_only_read(file):
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    commands = "\n".join(step.get("run", "") for step in list_steps(workflow))
    targets = set(re.findall(r"\bmake ([a-z-]+)", commands))
    assert targets
    assert targets <= list_make_targets()
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_every_python_that_the_package_names_is_tested(project):
    tests = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    named = "\n".join(project["classifiers"])
    pythons = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", named, re.MULTILINE)
    assert tests["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons
    assert project["requires-python"] == f">={pythons[0]}"


def test_citation_has_the_version_licence_and_authors_of_the_package(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == cnntrain.__version__
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


def test_what_the_image_is_made_of_is_what_the_wheel_is_made_of():
    """The Dockerfile copies what .dockerignore lets through; hatchling must find it there."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    needed = {"cnntrain", "conf", "pyproject.toml", "README.md", "LICENSE", "requirements.lock"}
    assert kept == needed
    assert all((ROOT / name).exists() for name in kept)


def test_type_checkers_read_our_annotations():
    assert (Path(cnntrain.__file__).parent / "py.typed").is_file()


def test_sdist_has_every_file_of_the_repository_that_is_not_made(project):
    """The tests pass in the folder of an sdist, so that it needs what they read."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    included = settings["build"]["targets"]["sdist"]["include"]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert tops - {"outputs", ".gitignore", "pyproject.toml"} == set(included)
