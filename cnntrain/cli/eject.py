"""`cnntrain eject`: write a run out as one Python file that needs nothing of ours."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.parser import explain_unwritable_folder, make_parser
from cnntrain.eject.notebook import format_notebook
from cnntrain.eject.script import write_script
from cnntrain.eject.settings import open_ejectable_run
from cnntrain.errors import SpecError
from cnntrain.files.paths import expand_folder
from cnntrain.files.writing import write_whole
from cnntrain.inference.classifier import Classifier

USAGE = """\
usage: cnntrain eject RUN [--output FILE] [--notebook]

  One Python file that does what the run did: its network, data, augmentation, learning rate,
  optimizer, step and evaluation, and nothing that it did not use. It needs Keras, NumPy and what
  reads the data, and no cnntrain. On the same machine it ends with the same weights, bit for bit.

  --output FILE  else a file below RUN/eject, named for model and data set
  --notebook     a Jupyter notebook, with a cell for each part
  --json         what was written, for scripts"""


def main(words: Sequence[str]) -> int:
    """`cnntrain eject RUN`: write the script, and say where it is and how it is run."""
    parser = make_parser("eject")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--output")
    parser.add_argument("--notebook", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    if arguments.run is None:
        raise SpecError("no run is named", "the directory of a run", "cnntrain eject outputs/…")
    run = open_ejectable_run(arguments.run)
    target = choose_script_path(run, arguments.output, ".ipynb" if arguments.notebook else ".py")
    script = write_script(run)
    text = format_notebook(script) if arguments.notebook else script.format_text()
    with explain_unwritable_folder(target.parent, "--output FILE"):
        target.parent.mkdir(exist_ok=True)
        write_whole(target, text)
    lines = len(script.format_text().splitlines())
    if arguments.json:
        print(
            json.dumps({"path": str(target), "lines": lines, "titles": list_titles(script.parts)})
        )
        return 0
    print(f"{target}: {lines} lines: {', '.join(list_titles(script.parts)).lower()}")
    program = "jupyter lab" if arguments.notebook else "python"
    print(f"{program} {shlex.quote(str(target))} trains it again, without cnntrain")
    return 0


def list_titles(parts: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [title for title, _ in parts if title]


def choose_script_path(run: Classifier, output: str | None, suffix: str) -> Path:
    """Return the file to write; raise SpecError if it exists, or its folder does not."""
    if output is None:
        dataset = str(run.spec.dataset.knobs.get("tfds", run.spec.dataset.name))
        name = re.sub(r"[^\w]+", "_", f"{run.spec.model.name}_{dataset}").lower()
        target = run.folder / "eject" / f"{name}{suffix}"
    else:
        target = expand_folder(output, "--output")
        if target.suffix != suffix:
            raise SpecError(f"--output is {output}", f"a file that ends in {suffix}")
        if not target.parent.is_dir():
            command = f"mkdir -p {shlex.quote(str(target.parent))}"
            raise SpecError(f"{target.parent}, where --output goes, is not there", "a folder of "
                            "yours", command)  # fmt: skip
    if target.exists():
        raise SpecError(f"{target} is there already", "a new file", "--output=FILE, or remove it")
    return target
