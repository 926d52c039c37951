"""Print what `cnntrain fit` proposes: what the photos are, each decision, what to expect."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.planning.photo_facts import PhotoFacts, describe_photos
from cnntrain.planning.proposal import Decision
from cnntrain.terminal.tables import make_console, print_unwrapped_lines

FEW_TEST_PHOTOS = 200  # below which a run says how coarsely they measure
FOLDS = 5  # of the sweep that measures few photos better
USUAL_SHARE = 0.9  # of test photos that are recognised, in an example
# Settings that say how to cut, beside which folds may be refused.
OWN_CUTS = ("dataset.folds=", "dataset.cut=", "dataset.groups=")


def print_proposal(
    facts: PhotoFacts, sizes: Mapping[str, int], shared: int, decisions: Sequence[Decision]
) -> None:
    """Print what the photos are, a row for each decision, and what to expect."""
    print_unwrapped_lines(describe_photos(facts))
    if shared:
        photos = "photo is" if shared == 1 else "photos are"
        print_unwrapped_lines([
            f"Warning: {shared:,} {photos} in more than one split, so that the test flatters: "
            "cnntrain data verify names them"
        ])  # fmt: skip
    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("setting", "value", "why"):
        table.add_column(heading, overflow="fold")
    for decision in decisions:
        table.add_row(decision.what, Text(decision.value), Text(decision.why))
    console.print(table)
    counts = ", ".join(f"{count:,} {split}" for split, count in sizes.items())
    several = facts.has_several_labels  # which have no accuracy
    expectation = [] if several else describe_expectation(sizes["test"])
    print_unwrapped_lines([f"photos: {counts}", *expectation])


def describe_expectation(test: int) -> list[str]:
    """Return lines on how well so many test photos measure, if they are few."""
    if test >= FEW_TEST_PHOTOS:
        return []
    right = round(USUAL_SHARE * test)
    low, high = compute_wilson_interval(right, test)
    return [
        f"What to expect: each of the {test} test photos is {100 / test:.3g} % of the accuracy. "
        f"With {right} of {test} right, the accuracy on other photos is between {low:.0%} and "
        f"{high:.0%}. More photos measure better.",
    ]


def list_fold_words(
    facts: PhotoFacts, sizes: Mapping[str, int], words: Sequence[str]
) -> list[str] | None:
    """Return the overrides `words`, made a sweep in which every photo is tested once.

    None if the test photos are many or a part of their own, if a class has fewer photos than there
    are folds, and if the user has chosen how to cut.
    """
    if (
        "test" in facts.parts
        or facts.has_several_labels
        or sizes["test"] >= FEW_TEST_PHOTOS
        or min(facts.classes.values()) < FOLDS
        or any(word.startswith(OWN_CUTS) for word in words)
    ):
        return None
    kept = [word for word in words if not word.startswith("dataset.test=")]
    return [*kept, f"dataset.folds={FOLDS}", f"dataset.fold=range({FOLDS})"]


def print_command(command: str, fold_command: str | None, notes: Sequence[str]) -> None:
    """Print the notes on what was measured, the command that does the same, and that of folds."""
    lines = [*notes, "", "The same, as a command:", command, ""]
    if fold_command is not None:
        lines += ["Measured better, with every photo tested once:", fold_command, ""]
    print_unwrapped_lines(lines)
