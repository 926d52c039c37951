"""Install a wheel into a clean environment and use it from an empty directory: `make build`.

The command line trains, and so do the first lines of docs/python.md.
"""

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK, PAGE = ROOT / "requirements.lock", ROOT / "docs" / "python.md"
PHOTO = "from PIL import Image; Image.new('L', (8, 8)).save('seven.png')"


def main(wheel: Path) -> None:
    """Install a wheel and use it; raise CalledProcessError if a command fails."""
    with tempfile.TemporaryDirectory() as folder:
        environment, empty = Path(folder, "venv"), Path(folder, "empty")
        empty.mkdir()
        venv.create(environment, with_pip=True)
        binaries = environment / "bin"
        pip: list[str | Path] = [
            binaries / "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run(*pip, "--constraint", LOCK, wheel.absolute(), cwd=empty)
        run(binaries / "cnntrain", "--version", cwd=empty)
        run(binaries / "cnntrain", "list", "model", cwd=empty)
        run(binaries / "cnntrain", "epochs=2", "hydra.run.dir=run", cwd=empty)
        assert (empty / "run" / "final.keras").is_file(), "the wheel left no final.keras"
        page = PAGE.read_text(encoding="utf-8")
        block = re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        assert block is not None
        (empty / "lines.py").write_text(block[1], encoding="utf-8")
        run(binaries / "python", "-c", PHOTO, cwd=empty)
        run(binaries / "python", "lines.py", cwd=empty)
    print(f"{wheel.name} installs, lists and trains in a clean environment, from Python too")


def run(*command: str | Path, cwd: Path) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
