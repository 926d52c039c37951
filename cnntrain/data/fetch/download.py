"""Download the archives that their makers publish, resume them after a break, and verify them."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import requests
from rich.filesize import decimal

from cnntrain.errors import SpecError
from cnntrain.files.writing import open_existing
from cnntrain.terminal.progress import show_download

DOWNLOADS = "downloads"  # the folder in data_dir for archives, where TFDS puts them too
TIMEOUT = (3, 30)  # seconds to connect, and between two blocks
BLOCK_BYTES = 2**16  # so many bytes at most are lost when a download breaks off
# The errors after which the same request may succeed if it is repeated.
BROKEN_OFF = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


@dataclass(frozen=True)
class Archive:
    """A published file: its URL, its name, its size in bytes, and its checksum."""

    url: str
    name: str
    size: int | None  # None: not known
    digest: str  # hexadecimal
    kind: Literal["sha256", "md5"] = "sha256"

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name} ({decimal(self.size)})"

    def is_whole(self, file: Path) -> bool:
        """Return whether a file has exactly the contents that were published."""
        if self.size not in (None, file.stat().st_size):
            return False
        return hash_file(file, self.kind) == self.digest


def hash_file(file: Path, kind: str) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, kind).hexdigest()


def find_given_archive(archive: Archive, manual_dir: Path | None) -> Path | None:
    """Return the user's file of an archive, or None; raise SpecError if its contents differ."""
    file = None if manual_dir is None else manual_dir / archive.name
    if file is None or not file.is_file():
        return None
    if not archive.is_whole(file):
        raise SpecError(
            f"{file} is not the file that was published: its checksum differs",
            f"{archive} from {archive.url}, whose {archive.kind} is {archive.digest}",
            "download it again, or remove it",
        )
    return file


def fetch_archive(archive: Archive, folder: Path) -> Path:
    """Return the file of an archive in `folder`, downloaded if it is not there.

    What arrived before a break is kept in a `.part` file and, if the archive's size is known, not
    downloaded again. Raises what requests raises without a network, and SpecError for a file that
    is not the published one.
    """
    file, part = folder / archive.name, folder / f"{archive.name}.part"
    if file.exists():
        if archive.is_whole(file):
            return file
        file.unlink()
    resumed = part.exists()
    complete_download(archive, part)
    if archive.is_whole(part):
        return part.rename(file)  # a `.part` of a known name, so that a break is gone on from
    part.unlink()
    if resumed:  # the part may have been the beginning of another file
        return fetch_archive(archive, folder)
    raise SpecError(
        f"{archive.url} sends another file than it used to: its checksum differs",
        f"{archive}, whose {archive.kind} is {archive.digest}",
        "that file from elsewhere, and manual_dir=ITS_FOLDER",
    )


def complete_download(archive: Archive, part: Path) -> None:
    """Download the rest of an archive into `part`; after a break go on, as long as more arrives.

    Raises what requests raises if a try has brought nothing more.
    """
    if archive.size is None:  # then nobody can tell whether the part is complete
        part.unlink(missing_ok=True)
    while archive.size is None or count_file_bytes(part) < archive.size:
        received = count_file_bytes(part)
        try:
            receive_rest(archive, part)
            break
        except BROKEN_OFF:
            if count_file_bytes(part) <= received:
                raise


def receive_rest(archive: Archive, part: Path) -> None:
    """Request the rest of an archive once, and append it to `part`."""
    received = count_file_bytes(part)
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={received}-"} if received else {}
    with requests.get(archive.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            received = 0  # a server that does not support ranges sends the whole file
        if not received:
            part.unlink(missing_ok=True)
        with open_existing(part, "ab") as file:
            blocks = response.iter_content(BLOCK_BYTES)
            for block in show_download(blocks, received, archive.size, archive.name):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())


def count_file_bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def make_missing_error(
    name: str, wanted: str, absent: Sequence[str], data_dir: Path, manual_dir: Path | None, why: str
) -> SpecError:
    """Return the SpecError for data that is neither on the disk nor to be downloaded.

    It says what is missing and why, what to download, and where to put it.
    """
    lacks = ""
    if manual_dir is not None:
        what = f"lacks {', '.join(absent)}" if manual_dir.is_dir() else "is not there"
        lacks = f"manual_dir={manual_dir} {what}, "
    return SpecError(
        f"{name} is not in data_dir={data_dir}, {lacks}and {why}",
        f"in one folder, {wanted}",
        f"manual_dir={manual_dir or 'THAT_FOLDER'}",
    )


def describe_archives(archives: Sequence[Archive]) -> str:
    """Return where to download archives: `as published at SITE: FILE (SIZE), ...`."""
    sites = {archive.url.rpartition("/")[0] for archive in archives}
    if len(sites) == 1:
        return f"as published at {sites.pop()}: {', '.join(map(str, archives))}"
    return ", ".join(f"{archive} from {archive.url}" for archive in archives)


def explain_failed_fetch(error: Exception) -> str:
    """Return in one line why a download failed."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{error.response.url} answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "its download broke off (the same command goes on with it)"
    if isinstance(error, requests.Timeout):
        return "its server does not answer"
    if isinstance(error, requests.ConnectionError) and not isinstance(
        error, requests.exceptions.SSLError
    ):
        return "there is no network to fetch it, or its server is down"
    return f"fetching it failed: {str(error).strip().partition(chr(10))[0].rstrip(':')}"
