"""Getting data on a bad day: no network, killed in the middle, two at once."""

import contextlib
import importlib
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.errors import SpecError
from cnntrain.spec import option_files

ROOT = Path(__file__).parents[2]
OPTIONS = sorted(file.stem for file in (option_files.CONF / "dataset").glob("*.yaml"))
# Options that must be told something, and those that need nothing from anywhere.
TOLD = {"tfds": ["dataset.tfds=food101"], "image_folder": ["dataset.folder=photos"],
        "records": ["dataset.folder=photos"], "table": ["dataset.table=labels.csv"]}  # fmt: skip
ALWAYS = ("digits",)


@pytest.mark.parametrize("option", OPTIONS)
def test_option_answers_at_once_without_a_network(spec, tmp_path, no_network, option):
    words = [f"dataset={option}", *TOLD.get(option, [])]
    importlib.import_module("cnntrain.data.fetch.tfds_read")  # TensorFlow takes its time to load
    began = time.monotonic()
    if option in ALWAYS:
        assert len(spec(*words).dataset(tmp_path, None).train)
    else:
        with pytest.raises(SpecError) as caught:
            spec(*words).dataset(tmp_path, None)
        assert option in ("image_folder", "records", "table") or "://" in caught.value.expected
        absolute = ("dataset.folder=/absolute/path", "dataset.table=/absolute/path")
        assert caught.value.hint in ("manual_dir=THAT_FOLDER", *absolute)
    assert time.monotonic() - began < 10
    ready = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    assert not ready


@pytest.mark.slow
def test_command_answers_at_once_where_connections_are_refused(command, tmp_path):
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = command("dataset=oxford_flowers102", "data_dir=data", env=os.environ | proxies)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - spent < 10
    assert done.returncode == 2
    assert "102flowers.tgz (344.9 MB)" in done.stderr
    assert "https://www.robots.ox.ac.uk/~vgg/data/flowers/102" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "outputs").exists()


PREPARE = """
import sys
from pathlib import Path
from cnntrain.spec.compose import compose_config as compose
from cnntrain.spec.build import build_spec as spec
dataset = spec(compose([f"dataset={sys.argv[1]}", "dataset.limit=200"]).config).dataset
import cnntrain.data.datasets.tfds
print("begins", flush=True)
dataset(Path(sys.argv[2]), Path(sys.argv[3]))
print("done", flush=True)
"""


def preparing(option, data_dir, manual_dir):
    """A process that begins to prepare a data set: its imports are done."""
    line = [sys.executable, "-c", PREPARE, option, str(data_dir), str(manual_dir)]
    process = subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "begins\n"
    return process


def bytes_in(folder):
    """How much lies below a folder that is being written to."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it has just been renamed or removed
                total += Path(root, name).stat().st_size
    return total


READY = {"mnist": "mnist/3.0.1", "flowers17": "flowers17/5962fd484de3"}  # where it is then


@pytest.mark.slow
@pytest.mark.parametrize("option", READY)
def test_preparation_killed_ten_times_is_never_taken_for_ready(spec, tmp_path, archives, option):
    chosen = spec(f"dataset={option}").dataset
    process, most = preparing(option, tmp_path / "whole", archives), 0
    while process.poll() is None:
        most = max(most, bytes_in(tmp_path / "whole"))
    expected = compute_fingerprint(chosen(tmp_path / "whole", archives))

    killed, unready = tmp_path / "killed", 0
    folder = killed / READY[option]
    for share in np.linspace(0.001, 0.95, 10):
        process = preparing(option, killed, archives)
        while bytes_in(killed) < share * most and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        unready += not folder.exists()
        if folder.exists():  # then it is whole
            assert compute_fingerprint(chosen(killed, None)) == expected
            shutil.rmtree(folder)
    assert unready >= 6
    assert compute_fingerprint(chosen(killed, archives)) == expected
    left = [path.name for path in killed.rglob("*")]
    assert not [name for name in left if "incomplete" in name or name == "extracted"]


@pytest.mark.slow
def test_two_processes_that_prepare_at_once_agree(spec, tmp_path, archives):
    both = [preparing("mnist", tmp_path, archives) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["done\n", "done\n"]
    splits = spec("dataset=mnist").dataset(tmp_path, None)
    assert [len(part) for _, part in splits.items()] == [55_000, 5_000, 10_000]
