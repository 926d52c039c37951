"""Which runs were evaluated on the same images: by their fingerprints, and by their folds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnntrain.reports.comparisons.contrasts import FOLD, find_fold
from cnntrain.runs.results import RunResult
from cnntrain.spec.places import SOUGHT_IN_DATA_DIR
from cnntrain.spec.spec import is_without_effect

IMAGES_KEY = "images"  # a setting for the table, if runs were evaluated on different images
# Settings that change pixels at most but not which images there are; those of training images only.
PIXEL_SETTINGS = ("dataset.image_size", "dataset.resize", "dataset.channels", "dataset.cache")
TRAIN_ONLY_SETTINGS = ("dataset.fraction", "dataset.label_noise", "dataset.sampling")
REPEATED = ("seed", FOLD)  # settings in which the runs of a group may differ


def collect_image_fingerprints(results: Sequence[RunResult], part: str) -> list[str]:
    """Return for each run the fingerprint of its evaluation images, those of `part`, or "".

    Runs on a named data set whose settings differ only in how images look have the same images,
    and get the same fingerprint. Older runs recorded one fingerprint for all images together; a run
    without validation has none of valid.
    """
    if any(result.image_fingerprints.keys() == {"all"} for result in results):
        part = "all"
    names, first = list[str](), dict[str, tuple[str, str]]()
    for result in results:
        name = result.image_fingerprints.get(part, "")
        knobs = {k: v for k, v in result.settings.items() if k.partition(".")[0] == "dataset"}
        looks = format_identity({key: knobs.get(key) for key in PIXEL_SETTINGS})
        identity = format_identity(
            {k: v for k, v in knobs.items() if k not in (*PIXEL_SETTINGS, *TRAIN_ONLY_SETTINGS)}
        )
        first_looks, first_name = first.setdefault(identity, (looks, name))
        only_looks_differ = looks != first_looks and not has_folder(result)
        names.append(first_name if name and only_looks_differ else name)
    return names


def has_folder(result: RunResult) -> bool:
    """Return whether a run's images are in a folder of the user's."""
    return any(result.settings.get(key) is not None for key in SOUGHT_IN_DATA_DIR)


def format_image_set(result: RunResult, name: str) -> str:
    """Return a name of a run's images: its folder or data set, and the start of a fingerprint."""
    settings = result.settings
    places = [settings.get(key) for key in (*SOUGHT_IN_DATA_DIR, "dataset")]
    place = next((place for place in places if place), "images")
    fingerprint, comma, folds = name.partition(",")
    return f"{place} ({fingerprint[:8]}{comma}{folds})"


def name_fold_sets(results: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    """Return the name of the evaluation images of each run, one for all folds of a setting.

    `names` are the fingerprints of single runs, "" where unknown. Two settings have the same images
    if they have the same folds, and no fold of them has other images.
    """
    settings = identify_settings(results)
    found: dict[str, dict[int, set[str]]] = {}  # setting -> fold -> fingerprints
    for result, name, setting in zip(results, names, settings, strict=True):
        if (fold := find_fold(result)) is not None:
            found.setdefault(setting, {}).setdefault(fold, set()).update({name} - {""})
    divisions: list[dict[int, set[str]]] = []
    division_of = dict[str, int]()
    for setting, own in found.items():
        known = [len(prints) for prints in own.values()]
        if len(own) < 2 or not any(known) or max(known) > 1:
            continue
        number = next((n for n, d in enumerate(divisions) if are_same_images(d, own)), None)
        if number is None:
            number = len(divisions)
            divisions.append({fold: set() for fold in own})
        division_of[setting] = number
        for fold, prints in own.items():
            divisions[number][fold] |= prints
    return [
        name_division(divisions[division_of[setting]]) if setting in division_of else name
        for name, setting in zip(names, settings, strict=True)
    ]


def are_same_images(one: dict[int, set[str]], other: dict[int, set[str]]) -> bool:
    """Return whether two settings have the same folds, and no fold of them has other images."""
    return one.keys() == other.keys() and all(len(one[f] | other[f]) < 2 for f in one)


def name_division(division: dict[int, set[str]]) -> str:
    """Return a name for the images of some folds: a fingerprint, a comma, and the folds."""
    first = next((name for f in sorted(division) for name in division[f]), "")
    return f"{first[:8]}, folds {', '.join(map(str, sorted(division)))}"


def identify_settings(results: Sequence[RunResult]) -> list[str]:
    """Return a text for each run that is the same for runs which differ in seed and fold alone.

    A job that has no spec yet is like the first run that has all settings that are known of it.
    """
    kept = [
        {k: v for k, v in result.settings.items() if k not in REPEATED and not is_without_effect(k)}
        for result in results
    ]
    whole = [own for own, result in zip(kept, results, strict=True) if result.has_spec]
    return [
        format_identity(
            own if result.has_spec else next((w for w in whole if own.items() <= w.items()), own)
        )
        for own, result in zip(kept, results, strict=True)
    ]


def format_identity(settings: Mapping[str, Any]) -> str:
    """Return a text that is the same only for equal settings."""
    return json.dumps(settings, sort_keys=True, default=str)
