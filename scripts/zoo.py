"""Count what every model costs, and write the tables: `make zoo`.

Writes analysis/zoo.json, which `cnntrain list model` shows, and docs/models.md. With names of
options it counts only these again and keeps the rest: `python scripts/zoo.py lenet5 vgg16`.
"""

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from cnntrain.analysis.zoo import (
    COUNTS_FILE,
    ZooEntry,
    build_unfilled_network,
    describe_family,
    list_zoo,
)
from cnntrain.errors import SpecError
from cnntrain.spec import option_files
from cnntrain.spec.about import read_paper_network

PUBLISHED = ("MiB", "depth", "top-1", "top-5")  # columns of the networks of Keras
DOCS = Path(__file__).parent.parent / "docs" / "models.md"
INTRODUCTION = """\
# The models

<!-- Written by `make zoo`; what is written here by hand is lost. -->

Every option of the group `model`, families in order of the year of their first paper. Parameters
and multiply-adds (of convolutions, dense layers and matrix products, for one image) are those of
the paper's network: at its input, with its classes and with the overrides in the last column.
Without these an option has the defaults of its file in `conf/model/`, which may be meant for
smaller images: [the reference](reference/model.md) has them. *Fixed* parameters do not train:
moving statistics, and weights that stay as they are. Auxiliary heads are left out.

`cnntrain list model OPTION` shows every layer of the paper's network, in order: what it is, its
kernel, stride and activation, what it puts out and costs. For other images and classes:

```
cnntrain list model vgg11 'dataset.image_size=[64,64]' classes=17 model.hidden=256
cnntrain list model vgg11 dataset=cifar10   # as it would be trained on CIFAR-10
cnntrain list model googlenet --diagram googlenet.svg   # a picture of its graph, too
```

`cnntrain list applications` compares the networks of Keras. MiB are their parameters in float32;
depth, and top-1 and top-5 on ImageNet's validation images, are as keras.io/api/applications has
them.
"""


def main(only: Sequence[str]) -> int:
    """Count the options and write the tables; return 1 if some cannot be built, else 0."""
    files = option_files.find_option_files("model")
    counted = json.loads(COUNTS_FILE.read_text(encoding="utf-8")) if COUNTS_FILE.is_file() else {}
    counted = {option: row for option, row in counted.items() if only and option in files}
    if unknown := [option for option in only if option not in files]:
        raise SpecError(f"{', '.join(unknown)} is no option of the group model", files)
    lacking: list[str] = []
    for option in only or files:
        print(option, flush=True)
        try:
            made = read_paper_network(files[option])
            counted[option] = {"made_for": str(made), **count(option)}
        except Exception as error:  # the others are counted all the same
            counted.pop(option, None)
            lacking.append(f"{option}: {error if isinstance(error, SpecError) else repr(error)}")
    lines = [f"{json.dumps(key)}: {json.dumps(counted[key])}" for key in sorted(counted)]
    COUNTS_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    DOCS.write_text(markdown(list_zoo()), encoding="utf-8")
    print(f"{len(counted)} options in {COUNTS_FILE} and {DOCS}")
    for text in lacking:
        print(text, file=sys.stderr)
    return 1 if lacking else 0


def count(option: str) -> dict[str, int]:
    """Return parameters and multiply-adds of the paper's network of an option."""
    network = build_unfilled_network(option)

    from cnntrain.analysis.layer_table import count_totals

    return count_totals(network)


def markdown(entries: Sequence[ZooEntry]) -> str:
    """Return docs/models.md: a table for each family."""
    parts = [INTRODUCTION]
    for family, members in groupby(entries, lambda entry: entry.family):
        more = PUBLISHED if family == "application" else ()
        rows = [row(entry, bool(more)) for entry in members]
        names = ("option", "what it is", "parameters", "of these fixed", "multiply-adds", *more)
        heading = f"| {' | '.join(names)} | made for |"
        table = "\n".join([heading, f"|---|---|{'--:|' * (3 + len(more))}---|", *rows])
        parts.append(f"## `{family}`\n{describe_family(family)}\n\n{table}\n")
    return "\n".join(parts)


def row(known: ZooEntry, published: bool) -> str:
    """Return the row of an option, with what Keras publishes of it if that has columns."""
    fixed = (known.parameters or 0) - (known.trainable or 0)
    numbers = [known.parameters, fixed, known.multiply_adds]
    cells = ["–" if known.parameters is None else f"{number:,}" for number in numbers]
    if published:
        shares = [f"{100 * s:.1f} %" if s else "–" for s in (known.about.top_1, known.about.top_5)]
        size = f"{known.megabytes:.0f}" if known.megabytes else "–"
        cells += [size, str(known.about.depth or "–"), *shares]
    made = known.made_for
    text = "–"
    if made is not None:
        text = f"{known.input}, {made.num_classes} classes"
        text += f": `{' '.join(made.overrides)}`" if made.overrides else ""
    what = known.what.replace("|", "\\|")
    return f"| `{known.option}` | {what} | {' | '.join(cells)} | {text} |"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpecError as error:
        sys.exit(str(error))
