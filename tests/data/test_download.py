"""Downloads are whole, resumed and verified; they come from a real server on this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from cnntrain.data.fetch.download import (
    BLOCK_BYTES,
    explain_failed_fetch,
    fetch_archive,
    find_given_archive,
)
from cnntrain.errors import SpecError

CONTENT = bytes(range(256)) * 4000  # about a megabyte


@pytest.fixture
def published(site):
    site.files["all.zip"] = CONTENT
    return site


def test_archive_is_fetched_whole_and_only_once(published, tmp_path):
    file = fetch_archive(published.archive("all.zip"), tmp_path)
    assert file.read_bytes() == CONTENT
    fetch_archive(published.archive("all.zip"), tmp_path)
    assert len(published.asked) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["all.zip"]


def test_broken_download_is_resumed(published, tmp_path):
    published.breaks = 300_000
    file = fetch_archive(published.archive("all.zip"), tmp_path)
    assert file.read_bytes() == CONTENT
    starts = [int(wanted[6:-1]) for _, wanted in published.asked[1:]]
    assert starts == [
        BLOCK_BYTES * (300_000 // BLOCK_BYTES) * time for time in range(1, len(starts) + 1)
    ]


def test_download_is_resumed_by_the_next_process(published, tmp_path):
    (tmp_path / "all.zip.part").write_bytes(CONTENT[:1000])
    assert fetch_archive(published.archive("all.zip"), tmp_path).read_bytes() == CONTENT
    assert published.asked == [("/all.zip", "bytes=1000-")]


FETCH = """
import sys
from pathlib import Path
from cnntrain.data.fetch.download import Archive, fetch_archive
url, digest, folder = sys.argv[1:]
fetch_archive(Archive(url, "all.zip", 1_024_000, digest), Path(folder))
"""


@pytest.mark.slow
def test_killed_download_is_resumed(published, tmp_path):
    published.breaks, published.stalls = 5 * BLOCK_BYTES, 3
    archive = published.archive("all.zip")
    line = [sys.executable, "-c", FETCH, archive.url, archive.digest, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process, part = subprocess.Popen(line, env=environment), tmp_path / "all.zip.part"
    while not part.exists() or part.stat().st_size < 5 * BLOCK_BYTES:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    published.breaks, published.stalls = None, 0
    assert fetch_archive(archive, tmp_path).read_bytes() == CONTENT
    assert published.asked == [("/all.zip", None), ("/all.zip", f"bytes={5 * BLOCK_BYTES}-")]


def test_complete_part_is_not_requested_again(published, tmp_path):
    (tmp_path / "all.zip.part").write_bytes(CONTENT)
    assert fetch_archive(published.archive("all.zip"), tmp_path).read_bytes() == CONTENT
    assert not published.asked


@pytest.mark.parametrize("beginning", [b"of another file", b"x" * (len(CONTENT) + 5)])
def test_part_of_another_file_is_discarded(published, tmp_path, beginning):
    (tmp_path / "all.zip.part").write_bytes(beginning)
    assert fetch_archive(published.archive("all.zip"), tmp_path).read_bytes() == CONTENT


def test_server_without_ranges_sends_everything_again(published, tmp_path):
    published.ranges = False
    (tmp_path / "all.zip.part").write_bytes(CONTENT[:1000])
    assert fetch_archive(published.archive("all.zip"), tmp_path).read_bytes() == CONTENT


def test_download_without_progress_ends_and_keeps_its_part(published, tmp_path):
    published.ranges, published.breaks = False, BLOCK_BYTES
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as caught:
        fetch_archive(published.archive("all.zip"), tmp_path)
    assert "goes on with it" in explain_failed_fetch(caught.value)
    assert (tmp_path / "all.zip.part").read_bytes() == CONTENT[:BLOCK_BYTES]
    assert len(published.asked) == 2


@pytest.mark.parametrize("wrong", [{"digest": "0" * 64}, {"size": 10**7}, {"size": 10}])
def test_file_that_differs_from_the_published_one_is_refused_and_removed(
    published, tmp_path, wrong
):
    with pytest.raises(SpecError, match="another file than it used to"):
        fetch_archive(published.archive("all.zip", **wrong), tmp_path)
    assert not list(tmp_path.iterdir())


def test_damaged_archive_is_downloaded_again(published, tmp_path):
    (tmp_path / "all.zip").write_bytes(CONTENT[:-1] + b"!")
    assert fetch_archive(published.archive("all.zip"), tmp_path).read_bytes() == CONTENT


def test_unknown_size_is_allowed(published, tmp_path):
    (tmp_path / "all.zip.part").write_bytes(CONTENT)
    assert fetch_archive(published.archive("all.zip", size=None), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(("error", "answer"), [
    (requests.exceptions.SSLError("certificate has expired"), "failed: certificate has expired"),
    (requests.exceptions.InvalidURL("no host"), "failed: no host"),
    (requests.ConnectTimeout(), "does not answer"),
    (requests.ConnectionError(), "there is no network"),
])  # fmt: skip
def test_only_a_missing_network_is_called_so(error, answer):
    assert answer in explain_failed_fetch(error)


def test_error_names_the_status_of_the_server(published, tmp_path):
    archive = published.archive("all.zip")
    published.files.clear()
    with pytest.raises(requests.HTTPError) as caught:
        fetch_archive(archive, tmp_path)
    assert explain_failed_fetch(caught.value).endswith("all.zip answers 404 Not Found")


def test_archive_of_the_user_is_used_only_if_it_is_the_published_one(published, tmp_path):
    archive = published.archive("all.zip")
    assert find_given_archive(archive, None) is find_given_archive(archive, tmp_path) is None
    (tmp_path / "all.zip").write_bytes(CONTENT)
    assert find_given_archive(archive, tmp_path) == tmp_path / "all.zip"
    (tmp_path / "all.zip").write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(SpecError, match="not the file that was published"):
        find_given_archive(archive, tmp_path)
