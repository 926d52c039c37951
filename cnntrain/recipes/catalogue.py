"""The recipes in `conf/experiment/` that say what is expected of them."""

from dataclasses import dataclass
from pathlib import Path

from cnntrain.data.views import describe_views
from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.spec.expectation import Expectation, read_expectation
from cnntrain.spec.option_files import find_option_files, load_option_file, read_summary

METRIC_NAMES = {
    "valid_best": "valid accuracy of the best epoch", "valid_final": "valid accuracy at the end",
    "test_best": "test accuracy of the best epoch", "test_final": "test accuracy at the end",
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A recipe: its name, the first line of its file, and its `expect` record."""

    name: str
    summary: str
    file: Path
    expected: Expectation

    @property
    def command(self) -> str:
        return f"cnntrain experiment={self.name}"

    @property
    def views(self) -> str:
        """The views that its runs are tested on, such as `mirrored and shifted`, or `none`."""
        return describe_views(load_option_file(self.file).get("test_views", "none"))

    @property
    def metric_name(self) -> str:
        """The metric that runs are compared by, in words."""
        metric = self.expected.metric
        views = f", {self.views}" if metric.endswith("_views") else ""
        return METRIC_NAMES[metric.removesuffix("_views")] + views

    @property
    def minutes(self) -> float | None:
        """The minutes that one seed takes, without recipes whose weights it needs.

        It is the processor time that ours took, which hardly depends on what else a machine does;
        two cores may need half of it. None if nobody has measured the recipe.
        """
        measured = self.expected.measured
        return None if measured is None else max(measured.cpu_seconds) / 60


def list_recipes(config_dir: str | None = None) -> list[Recipe]:
    """Return the recipes with an `expect` record, by name; raise SpecError for a wrong record."""
    recipes = []
    for name, file in sorted(find_option_files("experiment", config_dir).items()):
        if (expected := read_expectation(file)) is not None:
            recipes.append(Recipe(name, read_summary(file), file, expected))
    return recipes


def find_recipe(name: str, config_dir: str | None = None) -> Recipe:
    """Return a recipe by its name; raise SpecError if there is none, or nothing is expected of it.

    The hint names the recipe with the nearest name.
    """
    recipes = {recipe.name: recipe for recipe in list_recipes(config_dir)}
    if name in recipes:
        return recipes[name]
    if name in find_option_files("experiment", config_dir):
        raise SpecError(
            f"{name} does not say what is expected of it",
            "a recipe with an expect record",
            f"cnntrain experiment={name}, which trains it without comparing",
        )
    nearest = find_nearest(name, recipes)
    raise SpecError(
        f"{name} is not a recipe",
        f"{format_choices(recipes, name)}: cnntrain reproduce --list",
        f"cnntrain reproduce {nearest}" if nearest else None,
    )
