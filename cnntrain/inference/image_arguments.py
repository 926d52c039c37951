"""The photos that a command line names: files, folders, and standard input."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.errors import SpecError, escape_unprintable

if TYPE_CHECKING:
    from cnntrain.data.photos.photo import Photos


def check_image_arguments(words: Sequence[str]) -> None:
    """Raise SpecError if no photo is named, or if a file or folder does not exist."""
    if not words:
        raise SpecError("no image is named", "files, folders, or - for standard input")
    for word in words:
        if word != "-" and not Path(word).exists() and not Path(word).is_symlink():
            raise SpecError(f"{word} is not there", "files, folders, or - for standard input")
    if words.count("-") > 1:
        raise SpecError("- is given more than once", "standard input once")


def gather_photos(words: Sequence[str]) -> "Photos":
    """Return the photos that `words` name, in their order.

    A folder stands for all files below it. `-` stands for standard input: paths, one a line, or,
    if it is not text, one image. Raises SpecError if there is no photo.
    """
    from cnntrain.data.fetch.folders import read_folder_tree
    from cnntrain.data.photos.photo import Photos
    from cnntrain.data.photos.readers import read_photo_file

    names, sources = list[str](), list[Path | bytes]()

    def add_path(path: Path) -> None:
        if path.is_dir():
            files = [path / file for file in read_folder_tree(path).list_files()]
            names.extend(escape_unprintable(str(file)) for file in files)
            sources.extend(files)
        else:
            names.append(escape_unprintable(str(path)))
            sources.append(path)

    for word in words:
        if word != "-":
            add_path(Path(word))
            continue
        content = sys.stdin.buffer.read()
        lines = parse_path_lines(content)
        if lines is None:
            names.append("-")
            sources.append(content)
        for line in lines or []:
            add_path(Path(line))
    if not names:
        raise SpecError(f"there is no image in {', '.join(words)}", "at least one file")

    def read_row(row: int) -> bytes:
        source = sources[row]
        return source if isinstance(source, bytes) else read_photo_file(source)

    return Photos(names, read_row)


def parse_path_lines(content: bytes) -> list[str] | None:
    """Return the lines of a UTF-8 text that are not empty, or None for an image.

    Images of all formats have zero bytes, or bytes that are not UTF-8.
    """
    if b"\0" in content:
        return None
    try:
        return [line for line in io.StringIO(content.decode()).read().splitlines() if line]
    except UnicodeDecodeError:
        return None
