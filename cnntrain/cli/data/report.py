"""The reports of `cnntrain data` on a data set, as lines and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from cnntrain.data.doctor.examination import (
    Examination,
    NearDuplicate,
    find_odd_images,
    list_absent_faults,
)
from cnntrain.data.doctor.suspects import LabelCheck
from cnntrain.data.inventory import find_prepared_folder
from cnntrain.data.labels import leaves_imbalance, warn_about_imbalance
from cnntrain.data.source import Splits, format_skipped
from cnntrain.data.verify import Occurrence, Verification
from cnntrain.files.paths import expand_folder
from cnntrain.spec.spec import Spec
from cnntrain.terminal.tables import make_console

SHOWN_COPIES = 10  # duplicate images that are printed; --json has all


@dataclass(frozen=True)
class Diagnosis:
    """All that `data verify` has found; `check` is None without a run."""

    verification: Verification
    examination: Examination
    check: LabelCheck | None


def format_prepared_json(name: str, spec: Spec, splits: Splits) -> str:
    parts = {
        split: {"images": len(part), "origin": splits.origin[split]}
        for split, part in splits.items()
    }
    skipped = [{"file": file, "reason": why} for file, why in splits.skipped]
    return format_dataset_json(name, spec, splits, {"splits": parts, "skipped": skipped})


def format_verified_json(name: str, spec: Spec, splits: Splits, found: Diagnosis) -> str:
    more = {"warnings": list_imbalance_warnings(spec, splits)}
    labels = found.check.as_json() if found.check else {}
    facts = found.verification.as_json() | more | found.examination.as_json() | labels
    return format_dataset_json(name, spec, splits, facts)


def list_imbalance_warnings(spec: Spec, splits: Splits) -> list[str]:
    """Return a warning if classes are so rare that training may never learn them."""
    warning = warn_about_imbalance(splits.train, splits.class_names)
    return [warning] if warning and leaves_imbalance(spec) else []


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


def print_verified(name: str, spec: Spec, splits: Splits, found: Diagnosis) -> None:
    verification = found.verification
    print_unwrapped(format_dataset_size(name, splits))
    if (size := found.examination.stored_size) not in (None, splits.image_shape[:2]):
        trained = "x".join(map(str, splits.image_shape[:2]))
        print_unwrapped(
            f"  stored as {size[0]}x{size[1]} in the median (height x width), trained on {trained}"
        )
    for what, where in find_data_files(spec, splits).items():
        print_unwrapped(f"  {what} in {where}")
    for note in splits.notes:
        print_unwrapped(note)
    make_console().print(make_class_table(verification))
    for line in describe_findings(verification):
        print_unwrapped(line)
    for line in describe_examination(found.examination):
        print_unwrapped(line)
    for line in describe_label_check(found.check) if found.check else ():
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
    lines = [" = ".join(str(copy) for copy in places) for places in copies]
    yield from list_some(f"{count_images(len(copies))} {where}", lines)


def describe_examination(examination: Examination) -> Iterator[str]:
    """Yield what is odd about the images as lines, near-duplicates of two splits last."""
    yield from examination.notes
    if absent := list_absent_faults(examination):
        yield f"Looked for and not found: {', '.join(absent)}."
    for word, odd_images in find_odd_images(examination):
        lines = [f"{odd.place}: {odd.value:g}" for odd in odd_images]
        yield from list_some(f"{count_images(len(lines))} {word}", lines)
    inside = [pair for pair in examination.near_duplicates if not pair.is_leak]
    where = "of one split nearly the same"
    yield from list_some(f"{count_pairs(len(inside))} {where}", [*map(format_pair, inside)])
    leaks = examination.near_leaks
    where = "of two splits nearly the same: what was learnt is tested"
    yield from list_some(f"Warning: {count_pairs(len(leaks))} {where}", [*map(format_pair, leaks)])


def format_pair(pair: NearDuplicate) -> str:
    sign = "~ mirrored" if pair.mirrored else "~"
    return f"{pair.first} {sign} {pair.second}  {pair.likeness:.3f}"


def count_images(count: int) -> str:
    return f"{count:,} image{' is' if count == 1 else 's are'}"


def count_pairs(count: int) -> str:
    return f"{count:,} pair{' of images is' if count == 1 else 's of images are'}"


def describe_label_check(check: LabelCheck) -> Iterator[str]:
    """Yield the labels that are probably wrong as lines, and what to think of them."""
    yield from check.notes
    if check.trained_on:
        yield (
            f"{check.trained_on:,} of {check.images:,} images were trained on by every run: a "
            "network is too sure of those, and wrong labels among them remain hidden"
        )
    lines = [
        f"{suspect.place}: rather {suspect.suggested}, {suspect.suggested_probability:.3f} against "
        f"{suspect.given_probability:.3f}{', trained on' if suspect.trained_on else ''}"
        for suspect in check.suspects
    ]
    few = "label is" if len(lines) == 1 else "labels are"
    yield from list_some(f"{len(lines):,} {few} probably wrong", lines)
    if not lines:
        yield "No label is probably wrong."


def list_some(heading: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield a heading and the first of some lines; nothing if there are none."""
    if lines:
        yield f"{heading}:"
    yield from (f"  {line}" for line in lines[:SHOWN_COPIES])
    if len(lines) > SHOWN_COPIES:
        yield f"  … and {len(lines) - SHOWN_COPIES:,} more, which --json lists"


def print_unwrapped(text: str) -> None:
    """Print lines without wrapping them, so that names of files can be copied."""
    make_console().print(Text(text), soft_wrap=True, highlight=False)
