"""`cnntrain data`: list, prepare, verify and preview data sets, and remove decoded photos."""

import itertools
import json
import shlex
import signal
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from cnntrain.cli.data.records import write_dataset_records
from cnntrain.cli.data.verify import READ_ALL, THRESHOLD_FLAGS, add_verify_flags, verify_dataset
from cnntrain.cli.parser import make_parser
from cnntrain.data.inventory import HERE_WORDS, DatasetEntry, list_datasets
from cnntrain.data.labels import format_label
from cnntrain.data.load import load_splits
from cnntrain.data.photos.cache_folder import (
    CACHE_FOLDER,
    count_caches,
    format_caches,
    list_caches,
    parse_byte_size,
    shrink_caches,
)
from cnntrain.errors import SpecError, find_nearest
from cnntrain.files.paths import expand_folder
from cnntrain.signals import raise_terminated
from cnntrain.spec import option_files
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.hints import choose_photo_words, is_folder, is_table
from cnntrain.spec.places import check_data_paths
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.tables import make_console, print_truncated
from cnntrain.terminal.units import NO_VALUE, abbreviate_number

if TYPE_CHECKING:
    from PIL.Image import Image

PHOTO_SIZE = "dataset.image_size=[224,224]"  # of a photo to preview, if none is given
USAGE = {
    "list": (
        "cnntrain data list [data_dir=…] [manual_dir=…] [--json]",
        "  every data set, its size, and whether it is here",
    ),
    "prepare": (
        "cnntrain data prepare NAME [key=value ...] [--to array_record] [--output FOLDER] [--json]",
        "  download it, or take the archives in manual_dir; decode what is kept decoded",
        "  --to array_record: write the photos into shards that dataset=records trains on",
    ),
    "verify": (
        "cnntrain data verify NAME [key=value ...] [--run RUN ...] [--output FOLDER] [--json]",
        "  count its images by split and class, decode every image, find duplicates, also nearly",
        "  the same ones, and images that are of one colour, blurred or tiny;",
        "  exit code 1 where a file is broken, or an image is in two splits",
        "  --run RUN: labels that are probably wrong, by trained runs (or a sweep over folds)",
        "  --output FOLDER: a page with the pictures, findings.csv to edit, corrected labels.csv",
        "  --apply FILE: write labels.csv again, as an edited findings.csv says",
        "  --strict: exit code 1 also where images of two splits are nearly the same",
        "  --near LIKENESS, --flat DEVIATION, --blur VARIANCE, --tiny PIXELS: other thresholds, or",
        "    none; docs/data_doctor.md says how they were chosen",
    ),
    "preview": (
        "cnntrain data preview NAME|PHOTO ... [key=value ...] [--values] [--output FILE.png]",
        "  the first training images, or photos, as a picture: as they are, and augmented beside;",
        "  --values: one image, with the values of its pixels written in",
    ),
    "clean": (
        "cnntrain data clean [data_dir=…] [--keep SIZE] [--json]",
        "  remove decoded photos from data_dir: all that are not in use, or until SIZE is left",
        "  (--keep 5GiB), those used longest ago first; they are decoded again when needed",
    ),
}


def main(words: Sequence[str]) -> int:
    """`cnntrain data list | prepare NAME | verify NAME | preview NAME | clean`; return 0 or 1."""
    parser = make_parser("data")
    parser.add_argument("verb", nargs="?")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--keep")
    parser.add_argument("--values", action="store_true")
    parser.add_argument("--to", choices=["array_record"])
    add_verify_flags(parser)
    arguments = parser.parse_intermixed_args(words)
    return run_data_command(arguments.verb, arguments.words, arguments)


def run_data_command(verb: str | None, words: Sequence[str], flags: Namespace) -> int:
    """Run `cnntrain data VERB WORDS`, and return the exit code."""
    if flags.help:
        print("\n".join(USAGE.get(verb or "") or itertools.chain(*USAGE.values())))
        return 0
    if verb not in USAGE:
        nearest = find_nearest(verb or "list", USAGE)
        hint = (
            shlex.join(["cnntrain", "data", nearest, *words]) if nearest else "cnntrain data --help"
        )
        raise SpecError(f"cnntrain data is given {verb or 'no command'}", USAGE, hint)
    usage = USAGE[verb][0]
    flagged = ("json", "output", "keep", "to", "values", "run", "apply", "strict", *THRESHOLD_FLAGS)
    for flag in (f"--{name}" for name in flagged if getattr(flags, name)):
        if flag not in " ".join(USAGE[verb]):
            raise SpecError(f"{flag} is not for data {verb}", usage)
    if verb == "list":
        print_datasets(words, flags.config_dir, flags.json)
        return 0
    if verb == "clean":
        keep = 0 if flags.keep is None else parse_byte_size(flags.keep)
        clean_caches(words, flags.config_dir, keep, flags.json)
        return 0
    signal.signal(signal.SIGTERM, raise_terminated)
    if verb == "preview" and (photos := find_photo_words(words, flags.config_dir)):
        return preview_photos(photos, words, flags)
    name = find_dataset_name(words, flags.config_dir, verb)
    overrides = [word for word in words if word != name]
    if verb == "prepare":
        if flags.output and not flags.to:
            raise SpecError("--output is given without --to", "where the records go", usage)
        if flags.to:
            spec = compose_checked_spec(name, overrides, flags.config_dir)
            folder = f"dataset.folder={write_dataset_records(spec, flags.output)}"
            kept = [word for word in overrides if not word.startswith("dataset.")]
            name, overrides = "records", [folder, *kept]
        return prepare_dataset(name, overrides, flags.config_dir, flags.json)
    if verb == "verify":
        keys = [word.partition("=")[0] for word in overrides]
        own = [word for word in READ_ALL if word.partition("=")[0] not in keys]
        spec = compose_checked_spec(name, [*own, *overrides], flags.config_dir)
        return verify_dataset(name, overrides, spec, flags)
    return preview_dataset(name, overrides, flags)


def find_dataset_name(words: Sequence[str], config_dir: str | None, verb: str) -> str:
    """Return the name of a data set, the only word that is no override; else raise SpecError."""
    files = option_files.find_option_files("dataset", config_dir)
    bare = [word for word in words if "=" not in word and not word.startswith("~")]
    chosen = [word.partition("=")[2] for word in words if word.startswith("dataset=")]
    nearest = find_nearest((bare + chosen)[0], files) if bare + chosen else None
    hint = f"cnntrain data {verb} {nearest}" if nearest else "cnntrain data list"
    if bare and is_folder(bare[0]):
        name, path = choose_photo_words(bare[0])
        hint = shlex.join(["cnntrain", "data", verb, name.partition("=")[2], path])
    if not bare:
        raise SpecError("no data set is named", files, hint)
    if verb == "preview" and Path(bare[0]).suffix and bare[0] not in files:
        raise SpecError(f"{bare[0]} is not there", "a photo, or a data set", hint)
    if bare[0] not in files:
        raise SpecError(f"{bare[0]} is no data set", files, hint)
    if len(bare + chosen) > 1:
        raise SpecError(f"{' and '.join(bare + chosen)} are both given", "one data set", hint)
    return bare[0]


def compose_checked_spec(name: str, overrides: Sequence[str], config_dir: str | None) -> Spec:
    spec = build_provisional_spec(
        compose_config([f"dataset={name}", *overrides], config_dir).config
    )
    check_data_paths(spec.config)
    return spec


def prepare_dataset(
    name: str, overrides: Sequence[str], config_dir: str | None, as_json: bool
) -> int:
    """Prepare a data set for training, and print what it holds; return the exit code."""
    spec = compose_checked_spec(name, overrides, config_dir)
    splits = load_splits(spec)

    from cnntrain.cli.data import report

    if as_json:
        print(report.format_prepared_json(name, spec, splits))
        return 0
    report.print_prepared(name, spec, splits)
    report.print_unwrapped(
        f"Train on it: {shlex.join(['cnntrain', f'dataset={name}', *overrides])}"
    )
    return 0


def find_photo_words(words: Sequence[str], config_dir: str | None) -> list[str]:
    """Return the photos among the words; raise SpecError if a data set is named beside them."""
    bare = [word for word in words if "=" not in word and not word.startswith("~")]
    files = option_files.find_option_files("dataset", config_dir)
    photos = [word for word in bare if word not in files and is_photo_word(word)]
    chosen = [word for word in words if word.startswith("dataset=")]
    if photos and (others := [word for word in bare if word not in photos] + chosen):
        raise SpecError(
            f"{photos[0]} and {others[0]} are both given",
            "photos, or one data set",
            shlex.join(["cnntrain", "data", "preview", *photos]),
        )
    return photos


def is_photo_word(word: str) -> bool:
    """Return whether a word names a file that may be a photo: any but a zip or a table."""
    return Path(word).is_file() and Path(word).suffix.lower() != ".zip" and not is_table(word)


def preview_photos(photos: Sequence[str], words: Sequence[str], flags: Namespace) -> int:
    """Draw photos, augmented beside each, into a new PNG; print its name, and return 0."""
    from cnntrain.inference.image_arguments import gather_photos

    overrides = [word for word in words if word not in photos]
    size = [] if any("image_size" in word for word in overrides) else [PHOTO_SIZE]
    spec = compose_checked_spec(
        "image_folder", ["dataset.folder=.", *size, *overrides], flags.config_dir
    )

    def draw(command: str) -> "Image":
        with silence_stderr():
            from cnntrain.reports import pixel_values, preview
        splits = preview.load_photos(spec, gather_photos(photos))
        if not flags.values:
            return preview.draw_photo_preview(spec, splits, command)
        return pixel_values.draw_pixel_values(splits.train.images[0], [command])

    return save_preview(draw, Path(photos[0]).stem, words, flags)


def preview_dataset(name: str, overrides: Sequence[str], flags: Namespace) -> int:
    """Draw the first training images, augmented beside each, into a new PNG; print its name."""
    spec = compose_checked_spec(name, overrides, flags.config_dir)

    def draw(command: str) -> "Image":
        splits = load_splits(spec)
        with silence_stderr():
            from cnntrain.data.first_batch import find_first_batch
            from cnntrain.reports import pixel_values, preview
        if not flags.values:
            return preview.draw_preview(spec, splits, command)
        first = find_first_batch(spec, splits.train)[:1]
        label = format_label(splits.train.labels[first[0]], splits.class_names)
        (image,) = splits.train.gather_images(first)
        return pixel_values.draw_pixel_values(image, [command, label])

    return save_preview(draw, name, [name, *overrides], flags)


def save_preview(
    draw: Callable[[str], "Image"], stem: str, words: Sequence[str], flags: Namespace
) -> int:
    """Write the picture that `draw` makes of a command into a new PNG; print its name, return 0."""
    from cnntrain.reports.contact_sheet import choose_picture_file, save_picture

    file = choose_picture_file(f"preview_{stem}", flags.output)
    shown = ["cnntrain", "data", "preview", *words, *["--values"] * flags.values]
    sheet = draw(shlex.join(shown))
    save_picture(sheet, file)
    print(f"{sheet.size[0]}x{sheet.size[1]} pixels in {file}")
    return 0


def print_datasets(overrides: Sequence[str], config_dir: str | None, as_json: bool) -> None:
    """Print every data set, what it holds, and whether it is in data_dir or manual_dir."""
    spec = build_provisional_spec(compose_config(overrides, config_dir).config)
    check_data_paths(spec.config)
    manual_dir = expand_folder(spec.manual_dir, "manual_dir") if spec.manual_dir else None
    data_dir = expand_folder(spec.data_dir, "data_dir")
    entries, decoded = list_datasets(data_dir, manual_dir, config_dir), list_caches(data_dir)
    if as_json:
        photos = {"path": str(data_dir / CACHE_FOLDER), **count_caches(decoded)}
        listed = {"dataset": {e.option: e.as_json() for e in entries}, "decoded": photos}
        print(json.dumps(listed, indent=2))
        return
    console, width = make_console(), max(len(entry.option) for entry in entries)
    head = format_dataset_line(
        width, "option", "images", "classes", "download", "here", "what it is"
    )
    print_truncated(console, Text(head, style="bold"))
    for entry in entries:
        print_truncated(
            console, Text(format_dataset_line(width, entry.option, *format_dataset_cells(entry)))
        )
    looked = f"data_dir={spec.data_dir} and, archives, in manual_dir={spec.manual_dir or 'null'}"
    foot = f"\nLooked for in {looked};\ncnntrain data prepare OPTION makes one ready."
    if decoded:
        place = data_dir / CACHE_FOLDER
        foot += f"\n{format_caches(decoded)} in {place}; cnntrain data clean removes them."
    console.print(Text(foot), soft_wrap=True, highlight=False)


def clean_caches(
    overrides: Sequence[str], config_dir: str | None, keep: int, as_json: bool
) -> None:
    """Remove decoded photos from data_dir until `keep` bytes are left, and print the result."""
    spec = build_provisional_spec(compose_config(overrides, config_dir).config)
    check_data_paths(spec.config)
    removed, kept, not_removed = shrink_caches(expand_folder(spec.data_dir, "data_dir"), keep)
    if as_json:
        groups = {"removed": removed, "kept": kept, "in_use": not_removed}
        print(json.dumps({name: count_caches(group) for name, group in groups.items()}, indent=2))
        return
    why = f" ({len(not_removed)} in use, or not yours to remove)" if not_removed else ""
    print(f"Removed {format_caches(removed)}; kept {format_caches(kept)}{why}")


def format_dataset_line(width: int, option: str, *cells: str) -> str:
    images, classes, size, here, what = cells
    return f"{option:<{width}}  {images:>7}  {classes:>7}  {size:>8}  {here:<14}  {what}".rstrip()


def format_dataset_cells(entry: DatasetEntry) -> tuple[str, ...]:
    here = f"needs {', '.join(entry.needs)}" if entry.needs else HERE_WORDS[entry.here]
    size = f"{abbreviate_number(entry.about.bytes)}B" if entry.about.bytes else NO_VALUE
    counts = (entry.image_count, entry.about.num_classes)
    images, classes = (NO_VALUE if count is None else f"{count:,}" for count in counts)
    return images, classes, size, here, entry.about.remove_citation(entry.what)
