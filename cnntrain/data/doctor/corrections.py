"""The findings as a table to edit, and the labels that come of it as a table to train on.

`findings.csv` has a row for each file with something to do or to look at; a user edits its columns
`action` (drop, relabel or nothing) and `suggested`. `labels.csv` is what is left of all files once
the actions are done: dataset=table takes it.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from cnntrain.data.doctor.examination import Examination, Locator, find_odd_images
from cnntrain.data.doctor.suspects import LabelCheck
from cnntrain.data.fetch.table_files import read_csv
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.source import Splits
from cnntrain.data.verify import Occurrence, Verification
from cnntrain.errors import SpecError, find_nearest
from cnntrain.files.writing import FORMULA_STARTS, escape_formula, write_whole

ACTIONS = ("", "relabel", "drop")  # of two for one file, the later counts
LABEL_COLUMNS = ("file", "label", "split")
# Of images that are the same, or nearly, the one is kept that is in the first of these splits: a
# test stays what it was, and training loses what it must not know.
KEPT_FIRST = ("test", "valid", "train")


@dataclass(frozen=True)
class Finding:
    """A row of findings.csv: an image, its given label, what to do with it, and why.

    `file` is its path relative to the table, or where images are in no files what it is called.
    `suggested` is the label to give it if the action is `relabel`.
    """

    file: str
    label: str
    split: str
    action: str
    suggested: str
    reason: str


FINDING_COLUMNS = tuple(field.name for field in fields(Finding))


class FileNames:
    """How a table in `folder` names the files of a data set; without files their own names."""

    def __init__(self, splits: Splits, folder: Path):
        store = splits.train.store
        read = store.photos.read if isinstance(store, LazyImages) else None
        self.splits, self.folder = splits, folder.absolute()
        self.reader = read if isinstance(read, FileReader) else None

    @property
    def are_files(self) -> bool:
        """Whether each image is a file of its own, which a table can name."""
        return self.reader is not None

    def name_example(self, split: str, index: int) -> str:
        """Return the path of an image relative to the folder, else what it is called."""
        part = dict(self.splits.items())[split]
        row = int(part.locate_rows(np.array([index]))[0])
        if self.reader is not None:
            return relate_path(Path(self.reader.root, self.reader.paths[row]), self.folder)
        return self.splits.names[row] if self.splits.names is not None else f"image {index}"

    def name_broken(self, name: str) -> str:
        """Return the path of a broken file, of which its name is known."""
        if self.reader is None:
            return name
        return relate_path(Path(self.reader.root, name), self.folder)


def relate_path(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, or whole where there is no way, as between drives.

    A name that a spreadsheet would take for a formula gets `./` in front.
    """
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()
    return f"./{relative}" if relative.startswith(FORMULA_STARTS) else relative


def list_findings(
    names: FileNames,
    verification: Verification,
    examination: Examination,
    check: LabelCheck | None,
) -> list[Finding]:
    """Return a finding for each file with something to do or to look at, the drops first."""

    def describe(place: Occurrence, action: str, reason: str, suggested: str = "") -> Finding:
        file = names.name_example(place.split, place.index)
        return Finding(file, place.label, place.split, action, suggested, reason)

    found = [
        Finding(names.name_broken(name), "", "", "drop", "", f"broken: {why}")
        for name, why in verification.broken
    ]
    for place, kept, reason in choose_copies(verification, examination):
        shown = names.name_example(kept.split, kept.index)
        under = f" under {kept.label}" if kept.label != place.label else ""
        found.append(describe(place, "drop", f"{reason} {kept.split} {shown}{under}"))
    for word, odd_images in find_odd_images(examination):
        action = "drop" if word == "of one colour" else ""
        found += [describe(odd.place, action, f"{word} ({odd.value:g})") for odd in odd_images]
    for suspect in check.suspects if check else ():
        learnt = ", although trained on it" if suspect.trained_on else ""
        reason = (
            f"label probably wrong: {suspect.given_probability:.3f} against "
            f"{suspect.suggested_probability:.3f}{learnt}"
        )
        found.append(describe(suspect.place, "relabel", reason, suspect.suggested))
    return sorted(join_findings(found), key=lambda finding: -ACTIONS.index(finding.action))


def join_findings(found: Sequence[Finding]) -> list[Finding]:
    """Return one finding for each file: the strongest action, and all reasons."""
    joined: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = finding.split, finding.file
        if (known := joined.get(key)) is None:
            joined[key] = finding
            continue
        action = max(known.action, finding.action, key=ACTIONS.index)
        suggested = known.suggested or finding.suggested
        reason = f"{known.reason}; {finding.reason}"
        joined[key] = replace(known, action=action, suggested=suggested, reason=reason)
    return list(joined.values())


def choose_copies(
    verification: Verification, examination: Examination
) -> Iterator[tuple[Occurrence, Occurrence, str]]:
    """Yield the images to drop of those that are the same or nearly, the one that is kept, and why.

    Of each group one is kept, by the order KEPT_FIRST, and in one split rather one that is neither
    blurred nor tiny.
    """
    groups: dict[Occurrence, list[Occurrence]] = {}
    reasons: dict[Occurrence, str] = {}

    def join(first: Occurrence, second: Occurrence) -> None:
        one, other = (groups.setdefault(place, [place]) for place in (first, second))
        if one is not other:
            one.extend(other)
            groups.update(dict.fromkeys(other, one))

    for places in verification.repeated_images:
        for place in places:
            join(places[0], place)
            reasons[place] = "the same as"
    for pair in examination.near_duplicates:
        join(pair.first, pair.second)
        word = "nearly the mirror image of" if pair.mirrored else "nearly the same as"
        for place in (pair.first, pair.second):
            reasons.setdefault(place, word)
    odd = {image.place for _, images in find_odd_images(examination) for image in images}
    for group in {id(group): group for group in groups.values()}.values():
        kept = min(
            group, key=lambda place: (KEPT_FIRST.index(place.split), place in odd, place.index)
        )
        for place in group:
            if place is not kept:
                yield place, kept, reasons[place]


def write_findings(found: Sequence[Finding], file: Path) -> None:
    """Write findings.csv, without a formula that a spreadsheet would run."""
    rows = [[escape_formula(getattr(one, column)) for column in FINDING_COLUMNS] for one in found]
    write_csv(FINDING_COLUMNS, rows, file)


def write_labels(names: FileNames, found: Sequence[Finding], file: Path) -> dict[str, int]:
    """Write labels.csv: every image with its label and split, corrected as the findings say.

    Returns how many images were kept, dropped and relabelled. Raises SpecError if the images are in
    no files of their own, and for findings on files that are not among them.
    """
    if not names.are_files:
        raise SpecError(
            "the images are in no files of their own, which a table could name",
            "a folder of photos",
        )
    actions = {finding.file: finding for finding in found}
    broken = {names.name_broken(name) for name, _ in names.splits.skipped}
    unknown = actions.keys() - broken
    rows, counts = list[list[str]](), {"kept": 0, "dropped": 0, "relabelled": 0}
    locate, weights = Locator(names.splits), gather_weights(names.splits)
    for number in range(int(locate.ends[-1])):
        place = locate(number)
        name = names.name_example(place.split, place.index)
        unknown.discard(name)
        finding = actions.get(name)
        if finding is not None and finding.action == "drop":
            counts["dropped"] += 1
            continue
        is_new = finding is not None and finding.action == "relabel"
        label = finding.suggested if finding is not None and is_new else place.label
        counts["relabelled"] += label != place.label
        counts["kept"] += 1
        row = [name, escape_formula(label), place.split]
        rows.append(row if weights is None else [*row, f"{weights[number]:g}"])
    if unknown:
        raise SpecError(
            f"{min(unknown)} is none of the files of the data set",
            "files as data verify --output names them, relative to the table",
        )
    write_csv(LABEL_COLUMNS if weights is None else (*LABEL_COLUMNS, "weight"), rows, file)
    return counts


def gather_weights(splits: Splits) -> np.ndarray | None:
    """Return the weights (n,) of the images of all splits, or None if they have none."""
    weights = [(part, part.weights) for _, part in splits.items()]
    if all(own is None for _, own in weights):
        return None
    return np.concatenate([np.ones(len(part)) if own is None else own for part, own in weights])


def write_csv(columns: Sequence[str], rows: Sequence[Sequence[str]], file: Path) -> None:
    """Write a table whole, in place of an older one."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_whole(file, content.getvalue())


def read_findings_table(file: Path, class_names: Sequence[str]) -> list[Finding]:
    """Return the findings of a table that a user may have edited.

    Raises SpecError for a table that lacks a column, an action that is none, and a label that is no
    class, with the number of the row.
    """
    try:
        table = read_csv(file)  # with the mark and the delimiter of any spreadsheet
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{file} cannot be read: {reason}", "a findings.csv") from None
    missing = [column for column in FINDING_COLUMNS if column not in table.columns]
    if missing:
        raise SpecError(f"{file} has no column {missing[0]}", ", ".join(FINDING_COLUMNS))
    columns = [table.columns[column] for column in FINDING_COLUMNS]
    found = [
        read_finding(dict(zip(FINDING_COLUMNS, cells, strict=True)), class_names,
                     f"{file}, row {number}")
        for number, *cells in zip(table.rows, *columns, strict=True)
    ]  # fmt: skip
    check_agreement(file, found, table.rows)
    return found


def check_agreement(file: Path, found: Sequence[Finding], rows: Sequence[int]) -> None:
    """Raise SpecError, with the numbers of the rows, if two want different things of one file."""
    first: dict[str, tuple[Finding, int]] = {}
    for finding, row in zip(found, rows, strict=True):
        other, other_row = first.setdefault(finding.file, (finding, row))
        if (finding.action, finding.suggested) != (other.action, other.suggested):
            raise SpecError(
                f"{file}, rows {other_row} and {row}: {finding.file} is there twice, and what to "
                "do differs",
                "one row for each file",
            )


def read_finding(row: Mapping[str, str], class_names: Sequence[str], where: str) -> Finding:
    """Return the finding in a row; raise SpecError, which says `where`, if nobody can do it."""
    finding = Finding(**{**row, "action": row["action"].lower()})
    if finding.action not in ACTIONS:
        raise SpecError(
            f"{where}: the action is {finding.action}",
            "drop, relabel, or nothing",
            find_nearest(finding.action, ACTIONS[1:]),
        )
    suggested = finding.suggested.split("|")  # an image may have several labels
    if finding.action == "relabel" and not set(suggested) <= set(class_names):
        raise SpecError(
            f"{where}: {finding.suggested or 'nothing'} is suggested, which is no class",
            class_names,
            find_nearest(finding.suggested, class_names),
        )
    return finding
