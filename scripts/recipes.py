"""Write docs/recipes.md from the `expect` records of the recipes: `make recipes`."""

from collections.abc import Sequence
from pathlib import Path

from cnntrain.recipes.catalogue import Recipe, list_recipes
from cnntrain.spec.expectation import Measured, compute_interval

DOCS = Path(__file__).parent.parent / "docs" / "recipes.md"
INTRODUCTION = """\
# Recipes: published results, and ours

<!-- Written by `make recipes` from the `expect` records in conf/experiment/. -->

A recipe is one file in `conf/experiment/`: it chooses an option of every group and sets what
differs. `cnntrain experiment=NAME` trains it, and whatever follows changes it.
`cnntrain reproduce NAME` trains it and says whether this machine gets what we got: exit code 0 if
it *agrees*, 1 if it *differs*, 3 if it *cannot be compared*, because it was shortened, has other
images, or was trained on another kind of device.

```
cnntrain reproduce --list                     every recipe, with the minutes that it takes here
cnntrain reproduce lenet5_mnist --seeds 3     train with seeds 0, 1, 2, and compare
cnntrain reproduce --all --minutes 60         as many as fit into an hour, the shortest first
```

How to read the numbers:

* *Published* is what the source reports: often the best test epoch, or one lucky run, so that it is
  comparable only.
* *Ours* is the mean of runs with several seeds, and the standard deviation between them. *Best* are
  the weights that validation chose, *last* those of the last epoch. Nothing was tuned on the test
  images, except where a note says so.
* *A run* says where a new run must lie: a 99 % prediction interval, from the deviation between our
  seeds and the standard error of the evaluated images. With few seeds the latter counts more.
* The test accuracies of the 17 flowers are a little too good. The 1,360 photos hold 69 pairs that
  are nearly the same, and 40 of these pairs lie between the splits that `dataset.split_seed=0`
  cuts: 17 of the 340 test photos have their like among the training photos.
  `cnntrain data verify flowers17` names them.
* *Unmeasured* means that nobody has run it here. The hours are an estimate for two cores.

`cnntrain reproduce --list --json` has the number of every seed. Two stories are told in more than
numbers: [what an initializer does](initializers.md), and
[why deep networks need shortcuts](degradation.md).
"""


def main() -> None:
    DOCS.write_text(write_markdown(list_recipes()), encoding="utf-8")
    print(DOCS)


def write_markdown(recipes: Sequence[Recipe]) -> str:
    """Return docs/recipes.md: measured recipes with their numbers, then the others."""
    measured = [recipe for recipe in recipes if recipe.expected.measured]
    parts = [INTRODUCTION]
    for title, is_ours in (("As their sources have them", False), ("Ours", True)):
        chosen = [r for r in measured if (r.expected.settings == "ours") is is_ours]
        parts.append(f"## Measured: {title[0].lower()}{title[1:]}\n\n{write_measured(chosen)}\n")
    parts.append(write_details(measured))
    others = [recipe for recipe in recipes if not recipe.expected.measured]
    parts.append(f"## Unmeasured\n\n{write_unmeasured(others)}\n")
    return "\n".join(parts)


def write_measured(recipes: Sequence[Recipe]) -> str:
    """Return the table of measured recipes."""
    rows = [
        "| recipe | published | ours, test best | ours, test last | ours, valid best | a run |",
        "|---|---|---|---|---|---|",
    ]
    for recipe in recipes:
        expected, measured = recipe.expected, recipe.expected.measured
        assert measured is not None
        split, weights, *views = expected.metric.split("_")
        interval = compute_interval(measured, expected.metric)
        cells = [format_cell(recipe, key) for key in ("test_best", "test_final", "valid_best")]
        run = f"{split} {weights.replace('final', 'last')}{f', {recipe.views}' if views else ''} "
        run += f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"
        name = f"`{recipe.name}`: {recipe.summary.rstrip('.')}"
        rows.append(f"| {name} | {format_published(recipe)} | {' | '.join(cells)} | {run} |")
    return "\n".join(rows)


def format_cell(recipe: Recipe, metric: str) -> str:
    """Return the mean of a metric over seeds, and that on views of the images if it was measured.

    It is `93.23 ± 0.10 %; mirrored and shifted 94.00 ± 0.08 %`.
    """
    measured = recipe.expected.measured
    assert measured is not None
    text = format_mean(measured, metric)
    if getattr(measured, f"{metric}_views", None):
        text += f"; {recipe.views} {format_mean(measured, f'{metric}_views')}"
    return text


def format_mean(measured: Measured, metric: str) -> str:
    """Return the mean of a metric over seeds, with the standard deviation if there are several.

    It is a dash for a metric of validation that a recipe without validation images lacks.
    """
    if not getattr(measured, metric):
        return "–"
    interval = compute_interval(measured, metric)
    text = f"{100 * interval.mean:.2f}"
    if len(measured.seeds) > 1:
        text += f" ± {100 * interval.between_seeds:.2f}"
    return f"{text} %"


def format_published(recipe: Recipe) -> str:
    """Return what the source reports: accuracies with their split, a note, or a dash."""
    expected = recipe.expected
    numbers = [f"{split} {100 * value:g} %" for split, value in (expected.published or {}).items()]
    texts = [*numbers, *([expected.published_note] if expected.published_note else [])]
    return "; ".join(texts) or "–"


def write_details(recipes: Sequence[Recipe]) -> str:
    """Return where, when and how long each measured recipe was trained, and its notes."""
    rows = [
        "## Where and when they were measured\n",
        "Seconds are of a run, from command to end. The machine had other work beside, so that the "
        "seconds\nof the processor say more. *Compared* is the number that a run is held to.\n",
        "| recipe | source | compared | seeds | epochs | seconds | processor | machine, date |",
        "|---|---|---|---|--:|--:|--:|---|",
    ]
    for recipe in recipes:
        measured = recipe.expected.measured
        assert measured is not None
        cells = [
            f"`{recipe.name}`",
            recipe.expected.source,
            recipe.metric_name,
            ", ".join(map(str, measured.seeds)),
            str(measured.epochs),
            f"{max(measured.seconds):,.0f}",
            f"{max(measured.cpu_seconds):,.0f}",
            f"{measured.machine}, {measured.date}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    notes = [f"* `{r.name}`: {r.expected.note}" for r in recipes if r.expected.note]
    return "\n".join([*rows, "", *notes, ""])


def write_unmeasured(recipes: Sequence[Recipe]) -> str:
    """Return the table of recipes that nobody has run here yet."""
    rows = ["| command | source | published | hours, two cores |", "|---|---|---|--:|"]
    for recipe in recipes:
        hours = "–" if recipe.expected.hours is None else f"{recipe.expected.hours:g}"
        what = f"`{recipe.command}`: {recipe.summary.rstrip('.')}"
        what += f" ({recipe.expected.note})" if recipe.expected.note else ""
        cells = (what, recipe.expected.source, format_published(recipe), hours)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
