"""`cnntrain data verify`: what is wrong with a data set, as lines, JSON, a page and tables."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.cli.parser import explain_unwritable_folder, make_output_folder
from cnntrain.data.load import load_splits
from cnntrain.errors import SpecError
from cnntrain.spec.spec import Spec

if TYPE_CHECKING:
    from cnntrain.cli.data.report import Diagnosis
    from cnntrain.data.doctor.suspects import LabelCheck
    from cnntrain.data.source import Splits

PAGE, FINDINGS, LABELS = "data.html", "findings.csv", "labels.csv"
# Photos are decoded, however many, but they need not be kept.
READ_ALL = ("dataset.cache=none", "dataset.scan=all")
# The flags of thresholds, with the greatest value that makes sense.
THRESHOLD_FLAGS = {"near": 1, "flat": 128, "blur": 1_000_000, "tiny": 10_000}


def add_verify_flags(parser: ArgumentParser) -> None:
    """Add the flags that only `data verify` has."""
    parser.add_argument("--run", action="append")
    parser.add_argument("--apply")
    parser.add_argument("--strict", action="store_true")
    for flag in THRESHOLD_FLAGS:
        parser.add_argument(f"--{flag}")


def verify_dataset(name: str, overrides: Sequence[str], spec: Spec, flags: Namespace) -> int:
    """Print what is wrong with the splits of a spec; return 1 for broken files or shared images."""
    asked = read_thresholds(flags)
    if flags.apply is not None:
        return apply_findings(spec, flags)
    classifiers = []
    if flags.run:
        from cnntrain.inference.classifier import check_one_label
        from cnntrain.inference.held_out import open_runs

        classifiers = open_runs(flags.run)
        for classifier in classifiers:
            check_one_label(classifier, "--run")
    output = claim_output_folder(flags.output)
    splits = load_splits(spec)
    if classifiers and splits.has_several_labels:
        raise SpecError(
            "--run is given, and the images may have several labels",
            "one label an image: only among those can a network tell wrong ones",
            "no --run",
        )

    from cnntrain.cli.data import report
    from cnntrain.data.doctor.examination import examine_splits
    from cnntrain.data.verify import verify_splits

    check: LabelCheck | None = None
    if classifiers:
        from cnntrain.data.doctor.suspects import find_suspects
        from cnntrain.inference.held_out import predict_held_out

        check = find_suspects(splits, predict_held_out(classifiers, spec, splits))
    verification = verify_splits(splits)
    examination = examine_splits(splits, asked)
    found = report.Diagnosis(verification, examination, check)
    written = []
    if output is not None:
        with explain_unwritable_folder(output):
            written = write_diagnosis(name, overrides, splits, found, output, flags)
    if flags.json:
        print(report.format_verified_json(name, spec, splits, found))
    else:
        report.print_verified(name, spec, splits, found)
        for line in written:
            report.print_unwrapped(line)
    leaks = flags.strict and bool(examination.near_leaks)
    return 0 if verification.is_clean and not leaks else 1


def read_thresholds(flags: Namespace) -> dict[str, float | None]:
    """Return the thresholds that the command line gives, None for `none`; SpecError for others."""
    asked: dict[str, float | None] = {}
    for flag, most in THRESHOLD_FLAGS.items():
        if (text := getattr(flags, flag)) is None:
            continue
        try:
            asked[flag] = None if text == "none" else float(text)
        except ValueError:
            asked[flag] = -1
        value = asked[flag]
        if value is not None and not 0 <= value <= most:
            raise SpecError(
                f"--{flag} is {text}", f"a number from 0 to {most:,}, or none", f"--{flag} none"
            )
    return asked


def claim_output_folder(path: str | None) -> Path | None:
    """Return the folder of `--output`, created if missing; SpecError if it has findings already.

    A user may have edited them.
    """
    if path is not None and (Path(path) / FINDINGS).exists():
        raise SpecError(
            f"--output is {path}, which has a {FINDINGS} already",
            "a new folder: you may have edited that file",
            f"--apply {Path(path) / FINDINGS}",
        )
    return make_output_folder(path)


def write_diagnosis(
    name: str,
    overrides: Sequence[str],
    splits: "Splits",
    found: "Diagnosis",
    output: Path,
    flags: Namespace,
) -> list[str]:
    """Write the page and the tables of what was found; return lines on what is where."""
    from cnntrain.data.doctor.corrections import (
        FileNames,
        list_findings,
        list_training_words,
        write_findings,
        write_labels,
    )
    from cnntrain.data.doctor.examination import list_label_conflicts
    from cnntrain.reports.data_page import write_data_page

    names = FileNames(splits, output)
    findings = list_findings(names, found.verification, found.examination, found.check)
    words = ["cnntrain", "data", "verify", name, *overrides]
    if names.obstacle is None:
        counts = write_labels(names, findings, output / LABELS)
        files = (
            f"Files in {FINDINGS} with something to do or to look at: {len(findings):,}. {LABELS} "
            f"is what is left when all of it is done: {counts['kept']:,} images, of which "
            f"{counts['relabelled']:,} with another label; dropped: {counts['dropped']:,}. Edit "
            f"the column action of {FINDINGS}, and write {LABELS} again:"
        )
        if conflicts := len(list_label_conflicts(found.verification, found.examination)):
            files = (
                f"Pictures with more than one label: {conflicts:,}. {LABELS} has each label of "
                f"them until you drop or relabel the wrong one in {FINDINGS}. {files}"
            )
        apply = [*words, "--apply", str(output / FINDINGS)]
        train = ["cnntrain", *list_training_words(splits, output / LABELS)]
        guide = {"files": files, "next": f"{shlex.join(apply)}\n{shlex.join(train)}"}
    else:
        files = (
            f"{FINDINGS} has {len(findings):,} images with something to do or to look at. There is "
            f"no {LABELS}: {names.obstacle}."
        )
        guide = {"files": files, "next": ""}
    # Into another folder: findings.csv is never overwritten.
    again = shlex.join([*words, *list_flags(flags), "--output", "NEW_FOLDER"])
    write_data_page(
        output / PAGE, name, splits, found.verification, found.examination, found.check,
        {**guide, "command": again},
    )  # fmt: skip
    write_findings(findings, output / FINDINGS)  # last: a folder that has it is whole
    return [str(output / PAGE), files, *guide["next"].splitlines()]


def list_flags(flags: Namespace) -> list[str]:
    """Return the flags of `data verify` that were given, without `--output`, as words."""
    words = [word for run in flags.run or () for word in ("--run", run)]
    for flag in THRESHOLD_FLAGS:
        if (text := getattr(flags, flag)) is not None:
            words += [f"--{flag}", text]
    return words + ["--strict"] * flags.strict


def apply_findings(spec: Spec, flags: Namespace) -> int:
    """Write labels.csv beside an edited findings.csv; return 0."""
    file = Path(flags.apply)
    if flags.output is not None or flags.run:
        other = "--output" if flags.output is not None else "--run"
        raise SpecError(
            f"--apply and {other} are both given",
            f"--apply alone: {LABELS} is written beside {file}",
        )
    if not file.is_file():
        raise SpecError(
            f"--apply is {file}, which is {'a folder' if file.is_dir() else 'not there'}",
            f"a {FINDINGS} that data verify --output has written",
            f"--apply {file / FINDINGS}" if (file / FINDINGS).is_file() else None,
        )
    splits = load_splits(spec)

    from cnntrain.cli.data.report import print_unwrapped
    from cnntrain.data.doctor.corrections import (
        FileNames,
        list_training_words,
        read_findings_table,
        write_labels,
    )

    findings = read_findings_table(file, splits)
    labels = file.with_name(LABELS)
    with explain_unwritable_folder(file.parent, hint=None):
        counts = write_labels(FileNames(splits, file.parent), findings, labels)
    print_unwrapped(
        f"{labels}: {counts['kept']:,} images, {counts['relabelled']:,} of them with another "
        f"label; {counts['dropped']:,} dropped"
    )
    print_unwrapped(shlex.join(["cnntrain", *list_training_words(splits, labels)]))
    return 0
