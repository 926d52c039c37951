"""What `cnntrain data` says of a data set, to people and as JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from cnntrain.data.inventory import find_prepared_folder
from cnntrain.data.labels import describe_imbalance
from cnntrain.data.source import Splits, format_skipped
from cnntrain.data.verify import Occurrence, Verification
from cnntrain.files.paths import expand_folder
from cnntrain.spec.spec import Spec
from cnntrain.terminal.tables import make_console

SHOWN_COPIES = 10  # of the images that are there twice; --json has all


def format_prepared_json(name: str, asked: Spec, splits: Splits) -> str:
    parts = {
        split: {"images": len(part), "origin": splits.origin[split]}
        for split, part in splits.items()
    }
    skipped = [{"file": file, "reason": why} for file, why in splits.skipped]
    return format_dataset_json(name, asked, splits, {"splits": parts, "skipped": skipped})


def format_verified_json(name: str, asked: Spec, splits: Splits, found: Verification) -> str:
    more = {"warnings": list_imbalance_warnings(asked, found)}
    return format_dataset_json(name, asked, splits, found.as_json() | more)


def list_imbalance_warnings(asked: Spec, found: Verification) -> list[str]:
    """What training on it should take care of: classes that may never be learnt."""
    counts = found.classes["train"]
    warning = describe_imbalance([*counts.values()], [*counts])
    return [warning] if warning and asked.loss.class_weights == "none" else []


def format_dataset_json(name: str, asked: Spec, splits: Splits, more: dict[str, Any]) -> str:
    facts = {
        "option": name,
        "image_shape": splits.image_shape,
        "class_names": splits.class_names,
        "places": find_data_files(asked, splits),
        "notes": splits.notes,
    }
    return json.dumps(facts | more, indent=2)


def find_data_files(asked: Spec, splits: Splits) -> dict[str, str]:
    """The files of ours that hold the data: as TFDS prepares it, and decoded."""
    found, data_dir = {}, expand_folder(asked.data_dir, "data_dir")
    if path := find_prepared_folder(asked.dataset.name, asked.dataset.knobs, data_dir):
        found["prepared"] = str(path)
    if isinstance(splits.train.store, np.memmap):
        found["decoded"] = str(splits.train.store.filename)
    return found


def print_prepared(name: str, asked: Spec, splits: Splits) -> None:
    print_unwrapped(format_dataset_size(f"{name} is ready", splits))
    for what, where in find_data_files(asked, splits).items():
        print_unwrapped(f"  {what} in {where}")
    for split, part in splits.items():
        print_unwrapped(f"  {split:<5}  {len(part):>9,}  {splits.origin[split]}")
    for note in splits.notes:
        print_unwrapped(note)
    if splits.skipped:
        print_unwrapped(format_skipped(splits.skipped))


def print_verified(name: str, asked: Spec, splits: Splits, found: Verification) -> None:
    print_unwrapped(format_dataset_size(name, splits))
    for what, where in find_data_files(asked, splits).items():
        print_unwrapped(f"  {what} in {where}")
    for note in splits.notes:
        print_unwrapped(note)
    make_console().print(make_class_table(found))
    for line in describe_findings(found):
        print_unwrapped(line)
    for line in list_imbalance_warnings(asked, found):
        print_unwrapped(line)


def format_dataset_size(beginning: str, splits: Splits) -> str:
    total = sum(len(part) for _, part in splits.items())
    shape = "x".join(map(str, splits.image_shape))
    return f"{beginning}: {total:,} images of {shape}, {len(splits.class_names)} classes"


def make_class_table(found: Verification) -> Table:
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


def describe_findings(found: Verification) -> Iterator[str]:
    """What is to be said beside the counts, the worst last."""
    held_out = [(split, origin) for split, origin in found.origin.items() if split != "train"]
    yield "; ".join(f"{split}: {origin}" for split, origin in held_out)
    spans = {split: (min(c.values()), max(c.values())) for split, c in found.classes.items()}
    yield "images of a class: " + ", ".join(
        f"{least:,} to {most:,} in {split}" if least < most else f"{most:,} in {split}"
        for split, (least, most) in spans.items()
    )
    yield format_skipped(found.broken) if found.broken else "Every image could be decoded."
    yield from list_copies("more than once in one split", found.duplicates)
    yield from list_copies("under more than one class", found.label_conflicts)
    if found.leaks:
        yield from list_copies("in more than one split: LEAK", found.leaks)
    else:
        yield "No image is in more than one split."


def list_copies(where: str, copies: Sequence[Sequence[Occurrence]]) -> Iterator[str]:
    """The first of the images that are in several places, and how many there are."""
    if copies:
        yield f"{len(copies):,} image{'s are' if len(copies) > 1 else ' is'} {where}:"
    for places in copies[:SHOWN_COPIES]:
        yield "  " + " = ".join(str(copy) for copy in places)
    if len(copies) > SHOWN_COPIES:
        yield f"  … and {len(copies) - SHOWN_COPIES:,} more, which --json lists"


def print_unwrapped(text: str) -> None:
    """Print lines as they are, however long: names of files are to be copied."""
    make_console().print(Text(text), soft_wrap=True, highlight=False)
