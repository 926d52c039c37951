"""Pages do what they say: their snippets are run, and so are their commands.

Of a page in PAGES the blocks of bash are run one after another, as one script. A block with a title
is the file of that name. Other blocks are what a command prints, or commands that cannot be run
here; tests/test_docs.py checks that these are understood.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from helpers.pages import ROOT, read_blocks
from helpers.processes import wait_until

DOCS = ROOT / "docs"
SNIPPET = re.compile(r"^```python\n(.*?)^```\n+(?:^```\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
PAGES = {  # what each needs
    "tutorial/first_run": "nothing", "tutorial/photos": "photos", "tutorial/sweep": "nothing",
    "exact": "nothing", "offline": "cluster", "preemption": "nothing",
    "add_a_model": "checkout", "add_an_augmentation": "checkout", "extending": "nothing",
}  # fmt: skip
NOWHERE = "http://127.0.0.1:9"  # as a proxy, it lets no connection through
# Stand-ins for programs of SLURM. All tasks of a step run on this machine.
SRUN = """\
#!/bin/bash
export SLURM_STEP_NODELIST=localhost SLURM_STEP_TASKS_PER_NODE=$SLURM_NNODES
for ((n = 0; n < SLURM_NNODES; n++)); do SLURM_PROCID=$n "$@" & tasks+=($!); done
for task in ${tasks[@]}; do wait $task; code=$?; ((code > highest)) && highest=$code; done
exit ${highest:-0}
"""
SCONTROL = '#!/bin/bash\necho "$@" >> scontrol.log\n'


@pytest.mark.parametrize(("name", "fewest"), [("from_a_notebook", 6), ("exact", 2)])
def test_snippets_print_what_the_page_shows(name, fewest):
    """They share their names, from the top of the page to its end."""
    names = {}
    snippets = SNIPPET.findall((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    assert len(snippets) >= fewest
    for code, expected in snippets:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == expected, code


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path):
    (code,) = [b.text for b in read_blocks(ROOT / "README.md") if b.language == "python"]
    Image.new("L", (8, 8)).save(tmp_path / "photo.png")
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_network_of_a_run_is_loaded_as_docs_training_says(digits):
    (code,) = [b.text for b in read_blocks(DOCS / "training.md") if b.language == "python"]
    names = {"images": digits.images}
    exec(code.replace("outputs/…", str(digits.folder)), names)
    assert names["logits"].shape == (len(digits.images), 10)


@pytest.fixture
def nothing():
    """A page that needs nothing but cnntrain."""


@pytest.fixture
def photos(tmp_path, archives):
    """A folder of photos of cats and dogs, `photos`."""
    shutil.unpack_archive(archives / "cats_and_dogs_700.zip", tmp_path)
    (tmp_path / "cats_and_dogs" / "validation").rename(tmp_path / "photos")


@pytest.fixture
def cluster(tmp_path, photos, archives, weights_dir, cifar10_dir, monkeypatch):
    """A home with what was fetched, on a machine that reaches no network."""
    pytest.importorskip("submitit")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    (tmp_path / "cluster" / "data").mkdir(parents=True)
    (tmp_path / "cluster" / "data" / "cifar10").symlink_to(cifar10_dir / "cifar10")
    (tmp_path / "cluster" / "archives").symlink_to(archives)
    (tmp_path / "cluster" / "weights").symlink_to(weights_dir)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of this checkout, with the packages that are installed here."""
    for name in ("cnntrain", "conf", "docs", "scripts", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_run(name, tmp_path, request):
    request.getfixturevalue(PAGES[name])
    script = "\n".join(["set -euxo pipefail", *write_files(name, tmp_path)])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=find_tools(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if name == "exact":
        whole, killed = done.stdout.splitlines()[-2:]
        assert len(whole) > 64
        assert whole == killed


def write_files(name: str, folder: Path) -> list[str]:
    """Write the blocks of a page that are files, and return its blocks of bash."""
    blocks = read_blocks(DOCS / f"{name}.md")
    for block in blocks:
        if block.title:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            file.chmod(0o755)
    return [block.text for block in blocks if block.language == "bash" and not block.title]


def find_tools(*folders: Path) -> dict[str, str]:
    """Return the environment of this process, in which these programs and cnntrain are found."""
    places = [*map(str, folders), str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {"PATH": os.pathsep.join(places)}


@pytest.fixture
def begin_script(tmp_path):
    """Begin a script of docs/preemption.md, with stand-ins for programs of SLURM."""
    write_files("preemption", tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    begun = []

    def begin(script: str, *words: str, nodes: int = 1) -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        slurm = {"SLURM_JOB_NAME": "net", "SLURM_JOB_ID": "7", "SLURM_NNODES": str(nodes)}
        line, environment = ["bash", script, *words], find_tools(tools) | slurm
        begun.append(subprocess.Popen(line, cwd=tmp_path, env=environment, **quiet))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()


def signal_training(script: subprocess.Popen, run: Path, number: int) -> None:
    """Send a signal to the last training that a script began, once an epoch is behind it."""
    wait_until(lambda: (run / "history.csv").is_file(), script)
    started = psutil.Process(script.pid).children(recursive=True)
    trainings = [process for process in started if "cnntrain" in " ".join(process.cmdline()[:3])]
    max(trainings, key=lambda process: process.pid).send_signal(number)


WORDS = ("model=mlp_256_128", "epochs=100", "checkpoint.every_minutes=10")


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_job_goes_back_into_the_queue_after_sigterm_and_goes_on(tmp_path, begin_script, nodes):
    """Of two nodes one gets the signal, and all leave."""
    words = [*WORDS, *(["distribution=multi_worker", "threads=1"] if nodes > 1 else [])]
    run = tmp_path / "runs" / "net"
    job = begin_script("job.sh", *words, nodes=nodes)
    signal_training(job, run, signal.SIGTERM)
    assert job.wait(120) == 143
    assert (tmp_path / "scontrol.log").read_text() == "requeue 7\n"
    assert not (run / "report.json").exists()
    assert begin_script("job.sh", *words, nodes=nodes).wait(300) == 0
    assert (run / "report.json").exists()
    assert (tmp_path / "scontrol.log").read_text() == "requeue 7\n"


@pytest.mark.slow
def test_loop_on_a_spot_machine_goes_on_after_a_kill_and_ends_after_a_mistake(
    tmp_path, begin_script
):
    loop = begin_script("spot.sh", *WORDS)
    signal_training(loop, tmp_path / "runs" / "net", signal.SIGKILL)
    assert loop.wait(240) == 0
    assert (tmp_path / "runs" / "net" / "report.json").exists()
    shutil.rmtree(tmp_path / "runs")
    assert begin_script("spot.sh", "epoch=3").wait(60) == 2
