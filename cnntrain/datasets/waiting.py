"""What people see while images are fetched or decoded: a bar, where there is a terminal."""

import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

Part = TypeVar("Part", bound=Sized)


def counted(parts: Iterable[Part], total: int, what: str) -> Iterator[Part]:
    """Hand on `parts`, whose lengths make `total`, and show how far they have come."""
    if not sys.stderr.isatty():
        yield from parts
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        for part in parts:
            yield part
            progress.advance(task, len(part))


def left_out(skipped: Sequence[tuple[str, str]]) -> str:
    """Name the files that are no images, a line each; all of them, because data is easily lost."""
    count = (
        "1 file that is no image"
        if len(skipped) == 1
        else f"{len(skipped)} files that are no images"
    )
    return "\n".join([f"Left out {count}:", *(f"  {name}: {why}" for name, why in skipped)])
