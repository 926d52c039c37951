"""Install a wheel into a clean environment and train from an empty directory: `make build`."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"


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
    print(f"{wheel.name} installs, lists and trains in a clean environment")


def run(*command: str | Path, cwd: Path) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
