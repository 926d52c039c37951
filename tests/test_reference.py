"""docs/reference/ says what the code says, and what a run leaves."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from cnntrain.recipes.verdict import EXIT_CODES
from cnntrain.runs.strangers import RECORD_TYPES, REPORT_TYPES
from cnntrain.signals import INTERRUPTED, TERMINATED
from cnntrain.spec.option_files import CONF, list_settings
from cnntrain.spec.signatures import GROUPS, list_components, read_component_knobs

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "reference"
BY_HAND = {"run_directory.md", "exit_codes.md"}


@pytest.fixture(scope="module")
def written():
    """The pages that are written from the code, by name."""
    return runpy.run_path(str(ROOT / "scripts" / "reference.py"))["write_pages"]()


def test_the_pages_are_what_the_code_says(written):
    assert {file.name for file in PAGES.iterdir()} == BY_HAND | set(written)
    for name, text in written.items():
        assert (PAGES / name).read_text(encoding="utf-8") == text, "make reference"


def test_every_setting_and_every_knob_has_a_row(written):
    rows = written["settings.md"]
    missing = [key for key in list_settings() if f"| `{key}` |" not in rows]
    for group in GROUPS:
        used = {file.read_text(encoding="utf-8") for file in (CONF / group).glob("*.yaml")}
        for component in list_components(group):
            if any(f"\nname: {component}\n" in text for text in used):
                knobs = read_component_knobs(group, component)
                section = written[f"{group}.md"].partition(f"\n## {component}\n")[2]
                own = section.partition("\n## ")[0]
                missing += [
                    f"{group}.{component}.{knob}"
                    for knob in knobs
                    if f"`{group}.{knob}` |" not in own
                ]
    assert missing == ["dataset.image_folder.groups"]  # a knob of all data sets, with more choices


def test_the_page_of_the_run_directory_names_what_a_run_leaves(training):
    run = training(
        "epochs=2", "dataset.limit=200", "ema_decay=0.9", "refit=true", "optimizer.l2=1e-4",
        "test_views=mirrored", "augmentation=flip_crop", "tracking=tensorboard",
    ).folder  # fmt: skip
    names = [f"{file.name}/" if file.is_dir() else file.name for file in run.iterdir()]
    names += [file.name for file in (run / "state").iterdir()]
    for table in ("history.csv", "steps.csv", "predictions.csv"):
        with (run / table).open(encoding="utf-8") as rows:
            names += next(csv.reader(rows))
    for record in ("run.json", "report.json", "network.json"):
        names += json.loads((run / record).read_text(encoding="utf-8"))
    names += json.loads((run / "report.json").read_text())["seconds"]
    for arrays in ("predictions.npz", "pictures.npz"):
        with np.load(run / arrays) as loaded:
            names += loaded
    names += [key for key in RECORD_TYPES | REPORT_TYPES if "." not in key]
    text = (PAGES / "run_directory.md").read_text(encoding="utf-8")
    assert not sorted({name for name in names if f"`{name}`" not in text})


def test_every_exit_code_has_its_row():
    text = (PAGES / "exit_codes.md").read_text(encoding="utf-8")
    for code in (0, 1, 2, INTERRUPTED, TERMINATED, *EXIT_CODES.values()):
        assert f"\n| {code} |" in text
