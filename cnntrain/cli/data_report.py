"""The reports of `cnntrain data` on a data set, as lines and as JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from cnntrain.data.inventory import find_prepared_folder
from cnntrain.data.labels import warn_about_imbalance
from cnntrain.data.source import Splits, format_skipped
from cnntrain.data.verify import Occurrence, Verification
from cnntrain.files.paths import expand_folder
from cnntrain.spec.spec import Spec
from cnntrain.terminal.tables import make_console

SHOWN_COPIES = 10  # duplicate images that are printed; --json has all


def format_prepared_json(name: str, spec: Spec, splits: Splits) -> str:
    parts = {
        split: {"images": len(part), "origin": splits.origin[split]}
        for split, part in splits.items()
    }
    skipped = [{"file": file, "reason": why} for file, why in splits.skipped]
    return format_dataset_json(name, spec, splits, {"splits": parts, "skipped": skipped})


def format_verified_json(name: str, spec: Spec, splits: Splits, verification: Verification) -> str:
    more = {"warnings": list_imbalance_warnings(spec, splits)}
    return format_dataset_json(name, spec, splits, verification.as_json() | more)


def list_imbalance_warnings(spec: Spec, splits: Splits) -> list[str]:
    """Return a warning if classes are so rare that training may never learn them."""
    warning = warn_about_imbalance(splits.train, splits.class_names)
    return [warning] if warning and spec.loss.class_weights == "none" else []


def format_dataset_json(name: str, spec: Spec, splits: Splits, more: dict[str, Any]) -> str:
    facts = {
        "option": name,
        "image_shape": splits.image_shape,
        "class_names": splits.class_names,
        "places": find_data_files(spec, splits),
        "notes": splits.notes,
    }
    return json.dumps(facts | more, indent=2)


def find_data_files(spec: Spec, splits: Splits) -> dict[str, str]:
    """Return the paths of the prepared data set of TFDS and of decoded photos, where they exist."""
    paths, data_dir = {}, expand_folder(spec.data_dir, "data_dir")
    if prepared := find_prepared_folder(spec.dataset.name, spec.dataset.knobs, data_dir):
        paths["prepared"] = str(prepared)
    if isinstance(splits.train.store, np.memmap):
        paths["decoded"] = str(splits.train.store.filename)
    return paths


def print_prepared(name: str, spec: Spec, splits: Splits) -> None:
    print_unwrapped(format_dataset_size(f"{name} is ready", splits))
    for what, where in find_data_files(spec, splits).items():
        print_unwrapped(f"  {what} in {where}")
    for split, part in splits.items():
        print_unwrapped(f"  {split:<5}  {len(part):>9,}  {splits.origin[split]}")
    for note in splits.notes:
        print_unwrapped(note)
    if splits.skipped:
        print_unwrapped(format_skipped(splits.skipped))


def print_verified(name: str, spec: Spec, splits: Splits, verification: Verification) -> None:
    print_unwrapped(format_dataset_size(name, splits))
    for what, where in find_data_files(spec, splits).items():
        print_unwrapped(f"  {what} in {where}")
    for note in splits.notes:
        print_unwrapped(note)
    make_console().print(make_class_table(verification))
    for line in describe_findings(verification):
        print_unwrapped(line)
    for line in list_imbalance_warnings(spec, splits):
        print_unwrapped(line)


def format_dataset_size(beginning: str, splits: Splits) -> str:
    total = sum(len(part) for _, part in splits.items())
    shape = "x".join(map(str, splits.image_shape))
    return f"{beginning}: {total:,} images of {shape}, {len(splits.class_names)} classes"


def make_class_table(verification: Verification) -> Table:
    """Return a table with the number of images of each class in each split."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class")
    for split in verification.classes:
        table.add_column(split, justify="right")
    for label in verification.classes["train"]:
        table.add_row(
            Text(label), *(f"{counts[label]:,}" for counts in verification.classes.values())
        )
    table.add_section()
    table.add_row("all", *(f"{count:,}" for count in verification.images.values()))
    return table


def describe_findings(verification: Verification) -> Iterator[str]:
    """Yield the findings beside the counts as lines, the worst last."""
    held_out = [
        (split, origin) for split, origin in verification.origin.items() if split != "train"
    ]
    yield "; ".join(f"{split}: {origin}" for split, origin in held_out)
    spans = {split: (min(c.values()), max(c.values())) for split, c in verification.classes.items()}
    yield "images of a class: " + ", ".join(
        f"{least:,} to {most:,} in {split}" if least < most else f"{most:,} in {split}"
        for split, (least, most) in spans.items()
    )
    yield (
        format_skipped(verification.broken)
        if verification.broken
        else "Every image could be decoded."
    )
    yield from list_copies("more than once in one split", verification.duplicates)
    yield from list_copies("under more than one class", verification.label_conflicts)
    if verification.leaks:
        yield from list_copies("in more than one split: LEAK", verification.leaks)
    else:
        yield "No image is in more than one split."


def list_copies(where: str, copies: Sequence[Sequence[Occurrence]]) -> Iterator[str]:
    """Yield lines with the number of images that are in several places, and the first of them."""
    if copies:
        yield f"{len(copies):,} image{'s are' if len(copies) > 1 else ' is'} {where}:"
    for places in copies[:SHOWN_COPIES]:
        yield "  " + " = ".join(str(copy) for copy in places)
    if len(copies) > SHOWN_COPIES:
        yield f"  … and {len(copies) - SHOWN_COPIES:,} more, which --json lists"


def print_unwrapped(text: str) -> None:
    """Print lines without wrapping them, so that names of files can be copied."""
    make_console().print(Text(text), soft_wrap=True, highlight=False)
