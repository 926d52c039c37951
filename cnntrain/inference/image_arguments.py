"""The photos that a command names: files, folders, and what comes from standard input."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.errors import SpecError, escape_unprintable

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Photos


def check_image_arguments(words: Sequence[str]) -> None:
    """Refuse no photos at all, and files or folders that are not there."""
    if not words:
        raise SpecError("no image is named", "files, folders, or - for standard input")
    for word in words:
        if word != "-" and not Path(word).exists() and not Path(word).is_symlink():
            raise SpecError(f"{word} is not there", "files, folders, or - for standard input")
    if words.count("-") > 1:
        raise SpecError("- is given more than once", "standard input once")


def gather_photos(words: Sequence[str]) -> "Photos":
    """Return all photos, folders with everything below them, in the order of the words.

    Standard input, `-`, is either paths, one a line, or, if it is no text, one image.
    Raises SpecError where there is none.
    """
    from cnntrain.data.fetch.folders import read_folder_tree, read_photo_file
    from cnntrain.data.photos.photo import Photos

    names, sources = list[str](), list[Path | bytes]()

    def add(path: Path) -> None:
        if path.is_dir():
            files = [path / file for file in read_folder_tree(path).files]
            names.extend(escape_unprintable(str(file)) for file in files)
            sources.extend(files)
        else:
            names.append(escape_unprintable(str(path)))
            sources.append(path)

    for word in words:
        if word != "-":
            add(Path(word))
            continue
        given = sys.stdin.buffer.read()
        lines = parse_path_lines(given)
        if lines is None:
            names.append("-")
            sources.append(given)
        for line in lines or []:
            add(Path(line))
    if not names:
        raise SpecError(f"there is no image in {', '.join(words)}", "at least one file")

    def read(row: int) -> bytes:
        source = sources[row]
        return source if isinstance(source, bytes) else read_photo_file(source)

    return Photos(names, read)


def parse_path_lines(given: bytes) -> list[str] | None:
    """The lines of a text, which no image is: its first bytes are not UTF-8, or are nought."""
    if b"\0" in given:
        return None
    try:
        return [line for line in io.StringIO(given.decode()).read().splitlines() if line]
    except UnicodeDecodeError:
        return None
