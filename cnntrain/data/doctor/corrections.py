"""The findings as a table to edit, and the labels that come of it as a table to train on.

`findings.csv` has a row for each file with something to do or to look at; a user edits its columns
`action` (drop, relabel or nothing) and `suggested`. `labels.csv` is what is left of all files once
the actions are done: dataset=table takes it.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from cnntrain.data.doctor.examination import Examination, Locator, find_odd_images
from cnntrain.data.doctor.suspects import LabelCheck
from cnntrain.data.fetch.table_files import Table, read_table
from cnntrain.data.labels import NO_LABEL, SEPARATOR
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.source import Splits
from cnntrain.data.verify import Occurrence, Verification
from cnntrain.errors import SpecError, escape_unprintable, find_nearest
from cnntrain.files.writing import FORMULA_STARTS, escape_formula, write_whole
from cnntrain.spec.overrides import quote_path, spell_names

ACTIONS = ("", "relabel", "drop")  # of two for one file, the later counts
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
    """How a table in `folder` names the files of a data set; without files their own names.

    `obstacle` says why no table can list them, or is None.
    """

    def __init__(self, splits: Splits, folder: Path):
        store = splits.train.store
        read = store.photos.read if isinstance(store, LazyImages) else None
        self.splits, self.folder = splits, folder.resolve()  # `..` in a path leaves a real folder
        self.reader = read if isinstance(read, FileReader) else None
        self.root = Path(self.reader.root).resolve() if self.reader is not None else Path()
        self.obstacle = self.find_obstacle()

    def find_obstacle(self) -> str | None:
        if self.reader is None:
            return "the images are in no files of their own, which a table could name"
        if odd := next((path for path in self.reader.paths if not is_unicode(path)), None):
            return f"the name of {escape_unprintable(odd)} is not in UTF-8, as a table is"
        if odd := next((name for name in self.splits.class_names if SEPARATOR in name), None):
            return f"the name of the class {odd} has a {SEPARATOR}, which divides labels in a table"
        return None

    def name_example(self, split: str, index: int) -> str:
        """Return the path of an image relative to the folder, else what it is called."""
        part = dict(self.splits.items())[split]
        row = int(part.locate_rows(np.array([index]))[0])
        if self.reader is not None:
            return self.name_file(self.reader.paths[row])
        return self.splits.names[row] if self.splits.names is not None else f"image {index}"

    def name_broken(self, name: str) -> str:
        """Return the path of a broken file, of which its name is known."""
        return name if self.reader is None else self.name_file(name)

    def name_file(self, path: str) -> str:
        """Return a path as a table in the folder has it, or whole where there is no way to it.

        There is none between drives. A name that a spreadsheet would take for a formula, or for an
        escaped one, gets `./` in front.
        """
        try:
            relative = Path(os.path.relpath(self.root / path, self.folder)).as_posix()
        except ValueError:
            relative = (self.root / path).as_posix()
        name = f"./{relative}" if relative.startswith(("'", *FORMULA_STARTS)) else relative
        return name if is_unicode(name) else escape_unprintable(name)


def is_unicode(text: str) -> bool:
    """Return whether a text is whole: the name of a file may have bytes that are no UTF-8."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


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
    asked = set[Occurrence]()  # the user decides on these
    for place, other, reason in choose_copies(verification, examination):
        reason = f"{reason} {other.split} {names.name_example(other.split, other.index)}"
        if place.label == other.label:
            found.append(describe(place, "drop", reason))
        else:
            asked.add(place)
            found.append(describe(place, "", f"{reason} under {other.label}: which is right?"))
    for word, odd_images in find_odd_images(examination):
        action = "drop" if word == "of one colour" else ""
        found += [describe(odd.place, action, f"{word} ({odd.value:g})") for odd in odd_images]
    for suspect in check.suspects if check else ():
        learnt = ", although trained on it" if suspect.trained_on else ""
        reason = (
            f"label probably wrong: {suspect.given_probability:.3f} against "
            f"{suspect.suggested_probability:.3f}{learnt}"
        )
        action = "" if suspect.place in asked else "relabel"
        found.append(describe(suspect.place, action, reason, suspect.suggested))
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

    Of each group one of each label is kept, by the order KEPT_FIRST, and in one split rather one
    that is neither blurred nor tiny. Where more than one label is kept, each of these images is
    yielded with one of another label: nothing here tells which label is right.
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
        ranked = sorted(
            group, key=lambda place: (KEPT_FIRST.index(place.split), place in odd, place.index)
        )
        kept = {place.label: place for place in reversed(ranked)}  # the first of each label
        for place in group:
            if place is not kept[place.label]:
                yield place, kept[place.label], reasons[place]
            elif len(kept) > 1:
                other = next(other for other in ranked if other.label != place.label)
                yield place, other, reasons[place]


def write_findings(found: Sequence[Finding], file: Path) -> None:
    """Write findings.csv, without a formula that a spreadsheet would run."""
    rows = [[escape_formula(getattr(one, column)) for column in FINDING_COLUMNS] for one in found]
    write_csv(FINDING_COLUMNS, rows, file)


def write_labels(names: FileNames, found: Sequence[Finding], file: Path) -> dict[str, int]:
    """Write labels.csv: every image with its label and split, corrected as the findings say.

    Where images may have several labels it has a column of 0 and 1 for each class. Returns how many
    images were kept, dropped and relabelled. Raises SpecError if no table can list the images, and
    for findings on files that are not among them.
    """
    if names.obstacle is not None:
        raise SpecError(names.obstacle, "a folder of photos")
    splits = names.splits
    actions = {finding.file: finding for finding in found}
    broken = {names.name_broken(name) for name, _ in splits.skipped}
    unknown = actions.keys() - broken
    rows, counts = list[list[str]](), {"kept": 0, "dropped": 0, "relabelled": 0}
    locate, weights = Locator(splits), gather_weights(splits)
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
        row = [name, *make_label_cells(label, splits), place.split]
        rows.append(row if weights is None else [*row, str(weights[number])])
    if unknown:
        raise SpecError(
            f"{min(unknown)} is none of the files of the data set",
            "files as data verify --output names them, relative to the table",
        )
    labels = map(escape_formula, splits.class_names) if splits.has_several_labels else ["label"]
    columns = ["file", *labels, "split", *([] if weights is None else ["weight"])]
    write_csv(columns, rows, file)
    return counts


def make_label_cells(label: str, splits: Splits) -> list[str]:
    """Return the cells of labels.csv for a label, or for several of them, as findings.csv says."""
    if not splits.has_several_labels:
        return [str(escape_formula(label))]
    own = label.split(SEPARATOR)
    return [str(int(name in own)) for name in splits.class_names]


def gather_weights(splits: Splits) -> np.ndarray | None:
    """Return the weights (n,) float32 of the images of all splits, or None if they have none."""
    known = [part.weights for _, part in splits.items() if part.weights is not None]
    return np.concatenate(known) if known else None


def list_training_words(splits: Splits, labels: Path) -> list[str]:
    """Return the overrides that train on labels.csv, whose path is `labels`."""
    words = ["dataset=table", f"dataset.table={quote_path(str(labels))}"]
    if splits.has_several_labels:
        words.append(f"dataset.label_columns={spell_names(splits.class_names)}")
    return words


def write_csv(columns: Sequence[str], rows: Sequence[Sequence[str]], file: Path) -> None:
    """Write a table whole, in place of an older one."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_whole(file, content.getvalue())


def read_findings_table(file: Path, splits: Splits) -> list[Finding]:
    """Return the findings of a table that a user may have edited, on images of `splits`.

    Raises SpecError for a table that lacks a column or has a file twice, an action that is none,
    and a label that is no class, with the number of the row.
    """
    table = read_table(file)
    for column in FINDING_COLUMNS:
        if column not in table.columns:
            raise SpecError(f"{file} has no column {column}", ", ".join(FINDING_COLUMNS))
    found, places = list[Finding](), dict[str, int]()
    for place in range(len(table.rows)):
        finding = read_finding(table, place, splits)
        if (first := places.setdefault(finding.file, place)) != place:
            raise SpecError(
                f"{file} has {finding.file} twice, in {table.format_rows([first, place])}",
                "a row for each file",
            )
        found.append(finding)
    return found


def read_finding(table: Table, place: int, splits: Splits) -> Finding:
    """Return the finding in a row; raise SpecError, with its number, if nobody can do it."""
    cells = {column: table.columns[column][place] for column in FINDING_COLUMNS}
    finding = Finding(**{**cells, "action": cells["action"].lower()})
    where = f"{table.file}, {table.format_rows([place])}"
    if finding.action not in ACTIONS:
        raise SpecError(
            f"{where}: the action is {finding.action}",
            "drop, relabel, or nothing",
            find_nearest(finding.action, ACTIONS[1:]),
        )
    suggested = [finding.suggested]
    if splits.has_several_labels:
        suggested = [] if finding.suggested == NO_LABEL else finding.suggested.split(SEPARATOR)
    if finding.action == "relabel" and not set(suggested) <= set(splits.class_names):
        raise SpecError(
            f"{where}: {finding.suggested or 'nothing'} is suggested, which is no class",
            splits.class_names,
            find_nearest(finding.suggested, splits.class_names),
        )
    return finding
