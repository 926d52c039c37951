"""Install the sdist and the wheel, train with each, and run tests in the sdist: `make build`.

The command line trains, and so do the first lines of docs/python.md.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK, PAGE = ROOT / "requirements.lock", ROOT / "docs" / "python.md"
PHOTO = "from PIL import Image; Image.new('L', (8, 8)).save('seven.png')"
BINARIES = "Scripts" if os.name == "nt" else "bin"  # the folder of an environment with its commands
# They read the files of the repository that are in no wheel.
TESTS = ["tests/test_docs.py", "tests/test_house.py", "tests/test_packaging.py"]


def main(dist: Path) -> None:
    """Try the wheel and the sdist in a folder; raise CalledProcessError if a command fails."""
    (wheel,), (sdist,) = dist.absolute().glob("*.whl"), dist.absolute().glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as place:
        environment = Path(place, "venv")
        venv.create(environment, with_pip=True)
        binaries = environment / BINARIES
        pip: list[str | Path] = [
            binaries / "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run(*pip, "--constraint", LOCK, wheel, cwd=Path(place))
        train_with(binaries / "cnntrain", Path(place, "wheel"))
        train_in_python(binaries / "python", Path(place, "wheel"))
        run(*pip, "--force-reinstall", "--no-deps", sdist, cwd=Path(place))
        train_with(binaries / "cnntrain", Path(place, "sdist"))
        with tarfile.open(sdist) as archive:
            archive.extractall(place, filter="data")
        run(sys.executable, "-m", "pytest", *TESTS, cwd=Path(place, sdist.name[: -len(".tar.gz")]))
    print(f"{wheel.name} and {sdist.name} install, list and train; the tests of the sdist pass")


def train_with(cnntrain: Path, empty: Path) -> None:
    """Use an installed command from an empty directory, which is made."""
    empty.mkdir()
    run(cnntrain, "--version", cwd=empty)
    run(cnntrain, "list", "model", cwd=empty)
    run(cnntrain, "epochs=2", "hydra.run.dir=run", cwd=empty)
    assert (empty / "run" / "final.keras").is_file(), "the training left no final.keras"


def train_in_python(python: Path, folder: Path) -> None:
    """Run the first lines of the page on Python in a folder."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert block is not None
    (folder / "lines.py").write_text(block[1], encoding="utf-8")
    run(python, "-c", PHOTO, cwd=folder)
    run(python, "lines.py", cwd=folder)


def run(*command: str | Path, cwd: Path) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
