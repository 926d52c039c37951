"""Progress bars on standard error while images are fetched or decoded."""

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Part = TypeVar("Part", bound=Sized)


def show_progress(parts: Iterable[Part], total: int, what: str) -> Iterator[Part]:
    """Yield `parts` under a bar that counts their lengths up to `total`."""
    return show_bar(parts, 0, total, what, MofNCompleteColumn())


def show_download(
    blocks: Iterable[bytes], done: int, total: int | None, what: str
) -> Iterator[bytes]:
    """Yield blocks of bytes under a bar; `done` of the `total` bytes were there before."""
    return show_bar(blocks, done, total, what, DownloadColumn(), TransferSpeedColumn())


def show_bar(
    parts: Iterable[Part], done: int, total: int | None, what: str, *columns: ProgressColumn
) -> Iterator[Part]:
    """Yield `parts` under a bar, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield from parts
        return
    around = (TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn())
    with Progress(*around, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done)
        for part in parts:
            yield part
            progress.advance(task, len(part))
