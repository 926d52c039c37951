"""What `cnntrain data` says of a data set, to people and as JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from cnntrain.data.inventory import prepared
from cnntrain.data.labels import imbalance_warning
from cnntrain.data.source import Splits, left_out
from cnntrain.data.verify import Copy, Verification
from cnntrain.files.paths import folder
from cnntrain.spec.spec import Spec
from cnntrain.terminal.tables import terminal

SHOWN = 10  # of the images that are there twice; --json has all


def prepared_json(name: str, asked: Spec, splits: Splits) -> str:
    parts = {
        split: {"images": len(part), "origin": splits.origin[split]}
        for split, part in splits.items()
    }
    skipped = [{"file": file, "reason": why} for file, why in splits.skipped]
    return as_json(name, asked, splits, {"splits": parts, "skipped": skipped})


def verified_json(name: str, asked: Spec, splits: Splits, found: Verification) -> str:
    more = {"warnings": warnings(asked, found)}
    return as_json(name, asked, splits, found.as_json() | more)


def warnings(asked: Spec, found: Verification) -> list[str]:
    """What training on it should take care of: classes that may never be learnt."""
    counts = found.classes["train"]
    warning = imbalance_warning([*counts.values()], [*counts])
    return [warning] if warning and asked.loss.class_weights == "none" else []


def as_json(name: str, asked: Spec, splits: Splits, more: dict[str, Any]) -> str:
    facts = {
        "option": name,
        "image_shape": splits.image_shape,
        "class_names": splits.class_names,
        "places": places(asked, splits),
        "notes": splits.notes,
    }
    return json.dumps(facts | more, indent=2)


def places(asked: Spec, splits: Splits) -> dict[str, str]:
    """The files of ours that hold the data: as TFDS prepares it, and decoded."""
    found, data_dir = {}, folder(asked.data_dir, "data_dir")
    if path := prepared(asked.dataset.name, asked.dataset.knobs, data_dir):
        found["prepared"] = str(path)
    if isinstance(splits.train.store, np.memmap):
        found["decoded"] = str(splits.train.store.filename)
    return found


def say_prepared(name: str, asked: Spec, splits: Splits) -> None:
    say(introduction(f"{name} is ready", splits))
    for what, where in places(asked, splits).items():
        say(f"  {what} in {where}")
    for split, part in splits.items():
        say(f"  {split:<5}  {len(part):>9,}  {splits.origin[split]}")
    for note in splits.notes:
        say(note)
    if splits.skipped:
        say(left_out(splits.skipped))


def say_verified(name: str, asked: Spec, splits: Splits, found: Verification) -> None:
    say(introduction(name, splits))
    for what, where in places(asked, splits).items():
        say(f"  {what} in {where}")
    for note in splits.notes:
        say(note)
    terminal().print(class_table(found))
    for line in findings(found):
        say(line)
    for line in warnings(asked, found):
        say(line)


def introduction(beginning: str, splits: Splits) -> str:
    total = sum(len(part) for _, part in splits.items())
    shape = "x".join(map(str, splits.image_shape))
    return f"{beginning}: {total:,} images of {shape}, {len(splits.class_names)} classes"


def class_table(found: Verification) -> Table:
    """The images of each class in each split."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class")
    for split in found.classes:
        table.add_column(split, justify="right")
    for label in found.classes["train"]:
        table.add_row(Text(label), *(f"{counts[label]:,}" for counts in found.classes.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(counts.values()):,}" for counts in found.classes.values()))
    return table


def findings(found: Verification) -> Iterator[str]:
    """What is to be said beside the counts, the worst last."""
    held_out = [(split, origin) for split, origin in found.origin.items() if split != "train"]
    yield "; ".join(f"{split}: {origin}" for split, origin in held_out)
    spans = {split: (min(c.values()), max(c.values())) for split, c in found.classes.items()}
    yield "images of a class: " + ", ".join(
        f"{least:,} to {most:,} in {split}" if least < most else f"{most:,} in {split}"
        for split, (least, most) in spans.items()
    )
    yield left_out(found.broken) if found.broken else "Every image could be decoded."
    yield from listed("more than once in one split", found.within)
    yield from listed("under more than one class", found.contradictions)
    if found.leaks:
        yield from listed("in more than one split: LEAK", found.leaks)
    else:
        yield "No image is in more than one split."


def listed(where: str, copies: Sequence[Sequence[Copy]]) -> Iterator[str]:
    """The first of the images that are in several places, and how many there are."""
    if copies:
        yield f"{len(copies):,} image{'s are' if len(copies) > 1 else ' is'} {where}:"
    for places in copies[:SHOWN]:
        yield "  " + " = ".join(str(copy) for copy in places)
    if len(copies) > SHOWN:
        yield f"  … and {len(copies) - SHOWN:,} more, which --json lists"


def say(text: str) -> None:
    """Print lines as they are, however long: names of files are to be copied."""
    terminal().print(Text(text), soft_wrap=True, highlight=False)
