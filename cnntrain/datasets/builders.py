"""The builders of TensorFlow Datasets: found by name, prepared in `data_dir`, whole or not there.

TFDS prepares; the archives that it asks for are fetched here, because its own downloads begin anew
after a break, and take three minutes to find that there is no network.
"""

import contextlib
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
import tensorflow_datasets as library
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.extractor import ExtractError

from cnntrain.datasets.download import TIMEOUT, Archive, fetch, given, lacking, published, reason
from cnntrain.datasets.waiting import alone
from cnntrain.errors import SpecError, nearest, one_of

DOWNLOADS = "downloads"  # the folder in data_dir that archives go to, as TFDS calls it


def found(name: str, data_dir: Path) -> Any:
    """Return the builder of `name[/config][:version]`; SpecError where TFDS has none."""
    plain = re.split("[/:]", name)[0]
    known = library.list_builders(with_community_datasets=False)
    if plain not in known and not (plain.isidentifier() and (data_dir / plain).is_dir()):
        close = nearest(plain, known)
        raise SpecError(
            f"{name!r} is no data set of TFDS, and not in data_dir={data_dir}",
            "name[/config][:version] from tensorflow.org/datasets/catalog",
            f"dataset.tfds={close}" if close else None,
        )
    try:
        return library.builder(name, data_dir=data_dir)
    except Exception as error:  # of many kinds: no such config or version, a package that it needs
        why = re.sub('^Failed to construct .*?": ', "", first_line(error))
        raise SpecError(f"{name} cannot be had: {why}", variants(plain)) from error


def variants(plain: str) -> str:
    """The configurations that a data set has, in words."""
    try:
        configs = library.builder_cls(plain).builder_configs
    except Exception:  # a data set of the user's own, without code
        configs = {}
    return one_of(f"{plain}/{config}" for config in configs) if configs else plain


def prepared(name: str, data_dir: Path, manual_dir: Path | None) -> Any:
    """Return the builder of a data set that lies ready in `data_dir`, prepared if need be.

    The original archives come from `manual_dir`, or else from the network. Raises SpecError where
    there is neither, and says what to put where.
    """
    builder = found(name, data_dir)
    if is_ready(builder):
        return builder
    with alone(data_dir / DOWNLOADS / builder.name, name):
        if not is_ready(builder):  # else another process was faster
            Preparation(builder, data_dir, manual_dir).run()
    return found(name, data_dir)


def is_ready(builder: Any) -> bool:
    """Whether a data set is there, which TFDS renames when it is complete.

    Raises SpecError where only some of its files are: somebody copied or removed some.
    """
    folder = Path(builder.data_dir)
    if not folder.exists():
        return False
    wanted = [folder / "dataset_info.json"]
    if wanted[0].is_file():
        wanted += [Path(file) for split in builder.info.splits.values() for file in split.filepaths]
    if lost := [file.name for file in wanted if not file.is_file()]:
        raise SpecError(
            f"{folder} is not whole: it lacks {', '.join(lost[:3])}{', …' * (len(lost) > 3)}",
            "all the files that TFDS prepared",
            f"copy it again, or rm -r {folder}",
        )
    return True


class Preparation:
    """TFDS at work on one data set, in a folder of its own, with archives that are fetched here."""

    def __init__(self, builder: Any, data_dir: Path, manual_dir: Path | None):
        self.builder, self.data_dir, self.manual_dir = builder, data_dir, manual_dir
        self.folder = Path(builder.data_dir)
        self.work = data_dir / DOWNLOADS / builder.name
        self.by_hand = bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)

    def run(self) -> None:
        if self.by_hand and self.manual_dir is None:
            raise self.asks_for_hands("no manual_dir is given")
        if not sys.stderr.isatty():
            library.disable_progress_bar()
        self.clean()
        before_downloads(self.builder, self.get)
        folder = self.manual_dir if self.by_hand else self.work
        assert folder is not None
        config = library.download.DownloadConfig(
            manual_dir=folder.absolute(),
            extract_dir=self.work / "extracted",
            try_download_gcs=False,
        )
        try:
            with contextlib.redirect_stdout(None):  # TFDS reports each step
                self.builder.download_and_prepare(download_config=config)
        except (OSError, ImportError, ExtractError) as error:
            raise self.failed(error) from error
        except (library.download.DownloadError, NonMatchingChecksumError) as error:
            raise self.failed(error) from error
        except AssertionError as error:
            if not self.by_hand:
                raise
            raise self.asks_for_hands(first_line(error)) from error
        finally:
            self.clean()

    def clean(self) -> None:
        """Remove what a killed preparation leaves; parts of archives stay, to go on with."""
        left = [self.work / "extracted", *self.work.glob("*.tmp.*")]
        for path in [*left, *self.folder.parent.glob(f"incomplete.*_{self.folder.name}")]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.work.iterdir():
            if path.is_symlink():
                path.unlink()

    def get(self, urls: list[str]) -> None:
        """Put the archives that TFDS asks for where it looks for them first."""
        archives = self.registered(urls)
        try:
            for archive in archives.values():
                self.put(archive)
        except OSError as error:
            raise lacking(
                self.builder.name,
                published([*archives.values()]),
                [archive.name for archive in archives.values() if not self.is_given(archive)],
                self.data_dir,
                self.manual_dir,
                reason(error),
            ) from error
        self.reach([url for url in urls if url not in archives])
        print(f"Preparing {self.builder.name} in {self.folder}", file=sys.stderr, flush=True)

    def registered(self, urls: list[str]) -> dict[str, Archive]:
        """The archives of which TFDS knows a name of their own and the checksum."""
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

    def put(self, archive: Archive) -> None:
        if (own := given(archive, self.manual_dir)) is None:
            fetch(archive, self.work)
        else:
            (self.work / archive.name).unlink(missing_ok=True)
            (self.work / archive.name).symlink_to(own.resolve())

    def reach(self, urls: list[str]) -> None:
        """Refuse at once what TFDS would try in vain for minutes to download by itself."""
        for url in [url for url in urls if url.startswith("http")][:1]:
            try:
                requests.head(url, timeout=TIMEOUT, allow_redirects=True)
            except requests.RequestException as error:
                raise SpecError(
                    f"{self.builder.name} is not in data_dir={self.data_dir}, and {reason(error)}",
                    f"{self.folder}, prepared on a machine with a network (from {url})",
                    "data_dir=ITS_FOLDER",
                ) from error

    def failed(self, error: Exception) -> SpecError:
        return SpecError(
            f"TFDS could not prepare {self.builder.name} in {self.data_dir}: {first_line(error)}",
            "room on the disk, the packages that this data set needs, and its archives unharmed",
        )

    def asks_for_hands(self, why: str) -> SpecError:
        text = " ".join(str(self.builder.MANUAL_DOWNLOAD_INSTRUCTIONS).split())
        return SpecError(
            f"{self.builder.name} must be fetched by hand, and {why}",
            f"in one folder: {text}",
            f"manual_dir={self.manual_dir or 'THAT_FOLDER'}",
        )


def before_downloads(builder: Any, get: Callable[[list[str]], None]) -> None:
    """Have a builder's download manager call `get` with URLs before it deals with them itself."""
    make = builder._make_download_manager

    def made(**arguments: Any) -> Any:
        manager = make(**arguments)
        for verb in ("download", "download_and_extract"):
            setattr(manager, verb, after(get, getattr(manager, verb)))
        return manager

    builder._make_download_manager = made


def after(get: Callable[[list[str]], None], verb: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(url_or_urls: Any) -> Any:
        get(list(flat(url_or_urls)))
        return verb(url_or_urls)

    return call


def flat(urls: Any) -> Iterator[str]:
    """All URLs of one, or of nested lists and mappings, of texts or of TFDS' resources."""
    if isinstance(urls, dict | list | tuple):
        for part in urls.values() if isinstance(urls, dict) else urls:
            yield from flat(part)
    else:
        yield urls if isinstance(urls, str) else urls.url


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")
