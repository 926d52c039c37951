"""The exception for a user's mistake (given, expected, try), and those for a run that fails."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

# Most characters of an enumeration in a message, and the number of names kept of a longer one.
MAX_CHOICES_LENGTH, FEW_CHOICES = 170, 9


class SpecError(Exception):
    """A mistake of the user; `cli/main.py` prints it once and exits with 2.

    `given` is a sentence about the mistake. `expected` is a text, or the names that would be right.
    `hint` is what to type instead, printed after the word `try`.
    """

    def __init__(self, given: str, expected: str | Iterable[str], hint: str | None = None):
        if not isinstance(expected, str):
            expected = format_choices(expected)
        self.given, self.expected, self.hint = given, expected, hint
        super().__init__(f"{given} (expected {expected})")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process raise it again: by its message alone it could not be made."""
        return type(self), (self.given, self.expected, self.hint)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows: the mistake, and not the way to it in here."""
        return f"{type(self).__name__}: {self}".splitlines()

    def __str__(self) -> str:
        lines = [self.given, f"  expected  {self.expected}"]
        if self.hint:
            lines.append(f"  try       {self.hint}")
        return "\n".join(lines)


class Failure(Exception):
    """A run that cannot go on, for a reason that the user can remedy; its checkpoints are good."""


class DiskFailure(Failure):
    """The disk is full, or cannot be written to."""


class Diverged(Failure):
    """The loss is not finite any more."""

    def __init__(self, step: int, epoch: int):
        super().__init__(
            f"the loss is not finite at step {step}, in epoch {epoch}\n"
            "  try       a smaller optimizer.learning_rate, a longer schedule.warmup, or "
            "optimizer.global_clip_norm=1"
        )


class OutOfMemory(Failure):
    """The device has no room for a batch."""

    def __init__(self, batch_size: int, micro_batches: int, bytes_per_image: int):
        activations = batch_size * bytes_per_image / micro_batches
        super().__init__(
            f"out of memory: a batch of {batch_size // micro_batches} images makes "
            f"{activations / 2**30:,.2f} GiB of activations, which training keeps\n"
            f"  try       accumulate={2 * micro_batches} (the same steps, in micro-batches), "
            f"batch_size={max(1, batch_size // 2)}, smaller images, or precision=mixed_bfloat16 "
            "on a GPU"
        )


class WorkerLost(Failure):
    """A worker of a distributed run does not answer any more, or never did."""

    def __init__(self, workers: Sequence[str], hint: str):
        do = "does" if len(workers) == 1 else "do"
        super().__init__(f"{' and '.join(workers)} {do} not answer\n  try       {hint}")


def format_choices(names: Iterable[object], near: object = "") -> str:
    """Return `one of A, B, C`, or the only name; of very many, those that are nearest to `near`."""
    texts = [str(name) for name in names]
    whole = ", ".join(texts)
    if len(texts) == 1:
        return whole
    if len(whole) <= MAX_CHOICES_LENGTH:
        return f"one of {whole}"
    likely = difflib.get_close_matches(str(near).lower(), texts, n=FEW_CHOICES, cutoff=0.5)
    few = [*likely, *(name for name in texts if name not in likely)][:FEW_CHOICES]
    return f"one of {', '.join(name for name in texts if name in few)}, … ({len(texts)} in all)"


def find_nearest(name: object, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` was most likely meant to be, or None.

    Capitals do not matter. A longer name comes first: resnet20_v1 for resnet20, not resnet200.
    """
    known = {other.lower(): other for other in names}
    word = str(name).lower()
    longer = [other for other in known if word and other.startswith(f"{word}_")]
    if word in known or not longer:
        matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
        return known[matches[0]] if matches else None
    return known[min(longer, key=len)]


def escape_unprintable(text: str, keep: str = "") -> str:
    """Return a text with unprintable characters escaped, except those of `keep`.

    A terminal obeys some of them.
    """
    if text.isprintable():
        return text
    return "".join(s if s.isprintable() or s in keep else ascii(s)[1:-1] for s in text)
