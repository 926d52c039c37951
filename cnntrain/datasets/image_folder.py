"""A folder of images, one folder a class; with train/, valid/ and test/ above them or without."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from cnntrain.datasets.source import Examples, Source, room_for
from cnntrain.errors import SpecError
from cnntrain.knobs import Count, show

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# What people call the three parts.
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val"),
    "test": ("test", "testing"),
}
MODES = {1: "L", 3: "RGB"}


def image_folder(
    data_dir: Path,
    manual_dir: Path | None,
    *,
    folder: str,
    size: tuple[Count, Count],
    channels: Literal[1, 3],
) -> Source:
    """Return the images below `folder`, stretched to `size`, (height, width), as uint8.

    A relative `folder` that does not exist is looked for in `data_dir`. Class names are the names
    of the class folders, sorted. Raises SpecError for a folder that is not there or cannot be
    read, fewer than two classes, an empty class, parts whose classes differ, a file that is no
    image, or more pixels than fit in memory.
    """
    root = find(folder, data_dir)
    parts = {part: subfolder(root, names) for part, names in PARTS.items()}
    if parts["train"] is None:
        parts = {"train": root, "valid": None, "test": None}
    class_names = class_folders(parts["train"] or root)
    if len(class_names) < 2:
        raise SpecError(
            f"{parts['train']} has {len(class_names)} class folder{'s' * (len(class_names) != 1)}",
            "two or more, each with the images of its class",
        )
    files = {part: listed(path, class_names) for part, path in parts.items() if path is not None}
    examples = {part: read(pairs, size, channels) for part, pairs in files.items()}
    return Source(examples["train"], examples.get("valid"), examples.get("test"), class_names)


def find(folder: str, data_dir: Path) -> Path:
    choices = [Path(folder).expanduser(), data_dir / folder] if folder else []
    try:
        for path in choices:
            if path.is_dir():
                return path
        what = "a file" if any(path.exists() for path in choices) else "not there"
    except OSError as error:
        what = f"out of reach: {error.strerror}"
    raise SpecError(
        f"dataset.folder is {show(folder)}, which is {what}",
        "a folder with a folder of images for each class",
        "dataset.folder=/absolute/path",
    )


def subfolder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, hidden files left out."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SpecError(
            f"{folder} cannot be read: {error.strerror}", "a folder that you may read"
        ) from error


def class_folders(folder: Path) -> tuple[str, ...]:
    return tuple(path.name for path in entries(folder) if path.is_dir())


def listed(folder: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The image files of a part with their labels, class by class, sorted by name."""
    if (here := class_folders(folder)) != class_names:
        differ = sorted(set(here) ^ set(class_names))
        raise SpecError(
            f"{folder} has other classes than the training part: {', '.join(differ)}",
            f"the folders {', '.join(class_names)}",
        )
    pairs = []
    for label, name in enumerate(class_names):
        files = [p for p in entries(folder / name) if p.suffix.lower() in SUFFIXES]
        if not files:
            raise SpecError(
                f"{folder / name} has no images",
                f"files that end in {', '.join(sorted(SUFFIXES))}",
                "remove the folder, or put its images in",
            )
        pairs += [(file, label) for file in files]
    return pairs


def read(pairs: list[tuple[Path, int]], size: tuple[int, int], channels: int) -> Examples:
    """Decode and stretch images; all that cannot be decoded are named in one answer."""
    images = room_for(len(pairs), size, channels)

    def decode(index: int) -> str | None:
        try:
            images[index] = decoded(pairs[index][0], size, channels)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{pairs[index][0]} ({error.__class__.__name__})"
        return None

    with ThreadPoolExecutor() as pool:
        broken = [name for name in pool.map(decode, range(len(pairs))) if name]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise SpecError(
            f"{len(broken)} of {len(pairs)} files are no images: {', '.join(broken[:3])}{more}",
            "files that can be decoded",
            "remove or replace them",
        )
    return Examples(images, np.array([label for _, label in pairs], np.int32))


def decoded(file: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    """One image, upright as its EXIF says, as RGB or grey pixels (H, W, C)."""
    with Image.open(file) as image:
        image.draft(MODES[channels], size[::-1])  # a JPEG decodes straight to a smaller scale
        upright = ImageOps.exif_transpose(image)
        if upright.mode[0] in "IF":
            upright = eight_bit(upright)
        upright = upright.convert(MODES[channels])
    scaled = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(scaled).reshape(*size, channels)


def eight_bit(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits as one of 8: Pillow's own conversion makes it white."""
    pixels = np.asarray(image)
    if image.mode.startswith("F") or pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"mode {image.mode}")
    return Image.fromarray((pixels // 257).astype(np.uint8))
