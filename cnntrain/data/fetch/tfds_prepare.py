"""Have TFDS prepare a data set from archives that this module downloads.

TFDS' own downloads start anew after a break, and take three minutes to notice that there is no
network.
"""

import contextlib
import io
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import requests
import tensorflow_datasets as library
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.extractor import ExtractError

from cnntrain.data.fetch.download import (
    DOWNLOADS,
    TIMEOUT,
    Archive,
    describe_archives,
    explain_failed_fetch,
    fetch_archive,
    find_given_archive,
    make_missing_error,
)
from cnntrain.data.fetch.tfds_private import intercept_downloads
from cnntrain.errors import SpecError

# The errors that have a cause outside the program, and that a user can mend.
FAILURES = (
    OSError,
    ImportError,  # a package that only some data sets need
    ExtractError,
    library.download.DownloadError,
    NonMatchingChecksumError,
)


class Preparation:
    """The preparation of one data set, which its caller has locked against other processes."""

    def __init__(self, builder: Any, data_dir: Path, manual_dir: Path | None):
        self.builder, self.data_dir, self.manual_dir = builder, data_dir, manual_dir
        self.folder = Path(builder.data_dir)
        self.work = data_dir / DOWNLOADS / builder.name
        self.by_hand = bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)

    def prepare(self) -> None:
        """Prepare the data set.

        Raises SpecError if an archive, the network or a package is missing.
        """
        if self.by_hand and self.manual_dir is None:
            raise self.make_manual_error("no manual_dir is given")
        if not sys.stderr.isatty():
            library.disable_progress_bar()
        self.remove_leftovers()
        intercept_downloads(self.builder, self.provide_archives)
        folder = self.manual_dir if self.by_hand else self.work
        assert folder is not None
        config = library.download.DownloadConfig(
            manual_dir=folder.absolute(),
            extract_dir=self.work / "extracted",
            try_download_gcs=False,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS reports each step
                self.builder.download_and_prepare(download_config=config)
        except FAILURES as error:
            raise self.make_failure_error(error) from error
        except AssertionError as error:
            if not self.by_hand:
                raise
            raise self.make_manual_error(get_first_line(error)) from error
        finally:
            self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove what a killed preparation has left, except parts of archives to resume."""
        leftovers = [self.work / "extracted", *self.work.glob("*.tmp.*")]
        for path in [*leftovers, *self.folder.parent.glob(f"incomplete.*_{self.folder.name}")]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.work.iterdir():
            if path.is_symlink():
                path.unlink()

    def provide_archives(self, urls: list[str]) -> None:
        """Put the archives that TFDS asks for where it looks for them first.

        Raises SpecError if one is missing, or if another URL that TFDS asks for is out of reach.
        """
        archives = self.list_registered_archives(urls)
        try:
            for archive in sorted(archives.values(), key=self.is_given):  # the missing ones first
                self.place_archive(archive)
        except OSError as error:
            raise make_missing_error(
                self.builder.name,
                describe_archives([*archives.values()]),
                [archive.name for archive in archives.values() if not self.is_given(archive)],
                self.data_dir,
                self.manual_dir,
                explain_failed_fetch(error),
            ) from error
        self.check_network([url for url in urls if url not in archives])
        print(f"Preparing {self.builder.name} in {self.folder}", file=sys.stderr, flush=True)

    def list_registered_archives(self, urls: list[str]) -> dict[str, Archive]:
        """Return the archives, by URL, whose own file name and checksum TFDS knows."""
        infos = {url: info for url, info in (self.builder.url_infos or {}).items() if url in urls}
        names = Counter(info.filename for info in infos.values())
        return {
            url: Archive(url, info.filename, int(info.size), info.checksum)
            for url, info in infos.items()
            if info.filename and names[info.filename] == 1 and url.startswith("http")
            and "://drive.google.com/" not in url and not self.by_hand
        }  # fmt: skip

    def is_given(self, archive: Archive) -> bool:
        return self.manual_dir is not None and (self.manual_dir / archive.name).is_file()

    def place_archive(self, archive: Archive) -> None:
        """Put one archive into `work`: a link to the user's file, or else a download."""
        if (own := find_given_archive(archive, self.manual_dir)) is None:
            fetch_archive(archive, self.work)
        else:
            (self.work / archive.name).unlink(missing_ok=True)
            (self.work / archive.name).symlink_to(own.resolve())

    def check_network(self, urls: list[str]) -> None:
        """Raise SpecError if the first of the URLs is out of reach: TFDS would try for minutes."""
        url = next((url for url in urls if url.startswith("http")), None)
        if url is None:
            return
        try:
            requests.head(url, timeout=TIMEOUT, allow_redirects=True)
        except requests.RequestException as error:
            raise SpecError(
                f"{self.builder.name} is not in data_dir={self.data_dir}, and "
                f"{explain_failed_fetch(error)}",
                f"{self.folder}, prepared on a machine with a network (from {url})",
                "data_dir=ITS_FOLDER",
            ) from error

    def make_failure_error(self, error: Exception) -> SpecError:
        return SpecError(
            f"TFDS could not prepare {self.builder.name} in {self.data_dir}: "
            f"{get_first_line(error)}",
            "room on the disk, the packages that this data set needs, and its archives unharmed",
        )

    def make_manual_error(self, why: str) -> SpecError:
        text = " ".join(str(self.builder.MANUAL_DOWNLOAD_INSTRUCTIONS).split())
        return SpecError(
            f"{self.builder.name} must be fetched by hand, and {why}",
            f"in one folder: {text}",
            f"manual_dir={self.manual_dir or 'THAT_FOLDER'}",
        )


def get_first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")
