"""What Windows and macOS do otherwise, imitated on the system at hand: docs/other_systems.md."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from cnntrain.api import process
from cnntrain.cli import child
from cnntrain.data import device_memory
from cnntrain.data.photos import cache_folder, decoding_processes
from cnntrain.data.photos.records import import_array_record
from cnntrain.errors import SpecError
from cnntrain.files import writing
from cnntrain.planning import benchmark, doctor
from cnntrain.runs.directory import claim_temporary_run
from cnntrain.signals import TERMINATED, Signals, Terminated, raise_terminated
from cnntrain.spec.overrides import parse_single_override, quote_literal
from cnntrain.sweeps import job_process
from cnntrain.training.devices import compilation_cache

PAGE = Path(__file__).parents[2] / "docs" / "other_systems.md"
PERMISSION = "The process cannot access the file because it is being used by another process"


def imitate_windows(monkeypatch, module, **others):
    """Let one module believe that it is on Windows; pathlib must not, or no path could be made."""
    if hasattr(module, "os"):
        monkeypatch.setattr(module, "os", SimpleNamespace(**{**vars(os), "name": "nt", **others}))
    if hasattr(module, "sys"):
        monkeypatch.setattr(module, "sys", SimpleNamespace(**{**vars(sys), "platform": "win32"}))


class Readers:
    """Programs that read a file: so many attempts to rename or remove it are refused."""

    def __init__(self, monkeypatch, method, refusals, name=None):
        self.refusals, usual = refusals, getattr(Path, method)

        def refuse(path, *words, **how):
            if self.refusals and name in (None, path.name):
                self.refusals -= 1
                raise PermissionError(13, PERMISSION)
            return usual(path, *words, **how)

        monkeypatch.setattr(Path, method, refuse)


def test_file_that_another_program_reads_for_a_moment_is_replaced_on_windows(tmp_path, monkeypatch):
    file = tmp_path / "run.json"
    file.write_text("old")
    imitate_windows(monkeypatch, writing)
    monkeypatch.setattr(writing, "REPLACE_PAUSE", 0)
    Readers(monkeypatch, "replace", 3)
    writing.write_whole(file, "new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("on_windows", [True, False])
def test_file_that_may_not_be_replaced_stays_as_it_is(tmp_path, monkeypatch, on_windows):
    file = tmp_path / "run.json"
    file.write_text("old")
    if on_windows:
        imitate_windows(monkeypatch, writing)
    monkeypatch.setattr(writing, "REPLACE_PAUSE", 0)
    readers = Readers(monkeypatch, "replace", 10**6)
    with pytest.raises(PermissionError):
        writing.write_whole(file, "new")
    assert 10**6 - readers.refusals == (writing.REPLACE_ATTEMPTS if on_windows else 1)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_every_unpacked_photo_is_flushed_where_there_is_no_sync(tmp_path, monkeypatch):
    files = [tmp_path / "a.jpg", tmp_path / "cat" / "b.jpg"]
    files[1].parent.mkdir()
    for file in files:
        file.write_bytes(b"x")
    flushed = []
    system = {**vars(os), "fsync": lambda descriptor: flushed.append(os.fstat(descriptor).st_ino)}
    del system["sync"]
    monkeypatch.setattr(writing, "os", SimpleNamespace(**system))
    writing.flush_files_below(tmp_path)
    assert sorted(flushed) == sorted(file.stat().st_ino for file in files)


def test_ctrl_break_stops_like_sigterm(monkeypatch):
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    with Signals() as known:
        signal.raise_signal(signal.SIGUSR1)
    with pytest.raises(Terminated):
        known.leave()


def test_job_signals_itself_on_windows_so_that_its_handler_runs(monkeypatch):
    """`os.kill` would end the process there, without a checkpoint."""
    imitate_windows(monkeypatch, child, kill=lambda *_: pytest.fail("it was killed"))
    before = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        with pytest.raises(Terminated):
            child.send_sigterm()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("module", ["child", "worker"])
def test_job_stops_when_its_pipe_is_closed(tmp_path, module):
    """No signal is sent: Windows has none that another process could handle."""
    words = ["train", "epochs=1000", "hydra.run.dir=run"]
    command = [sys.executable, "-m", f"cnntrain.cli.{module}", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path)
    process.stdin.close()
    assert process.wait(timeout=120) == TERMINATED
    record = tmp_path / "run" / "run.json"
    assert not record.exists() or json.loads(record.read_text())["status"] == "interrupted"


def test_ctrl_c_closes_the_pipe_of_a_run_on_windows(monkeypatch):
    """`Popen.send_signal` refuses SIGINT there."""
    imitate_windows(monkeypatch, process)
    begun = SimpleNamespace(stdin=io.StringIO(), send_signal=lambda _: pytest.fail("it was sent"))
    process.Worker(begun).interrupt()
    assert begun.stdin.closed


def test_ctrl_c_reaches_a_job_on_windows_only_through_its_sweep(monkeypatch):
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    imitate_windows(monkeypatch, job_process)
    assert job_process.separate_from_terminal() == {"creationflags": 512}


def test_windows_decodes_in_no_more_processes_than_it_can_wait_for(monkeypatch):
    monkeypatch.setattr(decoding_processes, "_process_count", 0)
    monkeypatch.setattr(decoding_processes, "count_cores", lambda: 128)
    decoding_processes.set_decoding_processes("auto")
    assert decoding_processes._process_count == 128
    imitate_windows(monkeypatch, decoding_processes)
    decoding_processes.set_decoding_processes("auto")
    assert decoding_processes._process_count == 61


@pytest.mark.parametrize("is_mapped", [True, False])
def test_windows_removes_no_part_of_a_cache_in_use(tmp_path, monkeypatch, is_mapped):
    folder = tmp_path / cache_folder.CACHE_FOLDER / ("0" * 24)
    folder.mkdir(parents=True)
    for name in (cache_folder.FINDINGS, cache_folder.INDEX, cache_folder.PIXELS):
        (folder / name).write_bytes(b"x")
    imitate_windows(monkeypatch, cache_folder)
    Readers(monkeypatch, "unlink", is_mapped, cache_folder.PIXELS)
    (cache,) = cache_folder.list_caches(tmp_path)
    assert cache_folder.remove_cache(cache) is not is_mapped
    assert folder.exists() is is_mapped
    assert not is_mapped or len(list(folder.glob("[!.]*"))) == 3


def test_records_without_their_package_are_answered(monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(SpecError, match="array-record is not installed"):
        import_array_record()


def test_temporary_run_is_unlocked_before_its_folder_is_removed(monkeypatch):
    """Windows removes no folder that has an open file in it."""
    locked, usual = [], tempfile.TemporaryDirectory.cleanup
    with contextlib.ExitStack() as stack:

        def cleanup(directory):
            locked.append(run.lock.is_locked)
            usual(directory)

        monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", cleanup)
        run = stack.enter_context(claim_temporary_run({"seed": 0}))
        assert run.lock.is_locked
    assert locked == [False]
    assert not run.folder.exists()


@pytest.mark.parametrize(
    "path", [r"C:\runs\a", "C:\\", r"C:\it's\x", r"\\server\share\x", r"C:\new,a=b [1]", "C:\\x\\"]
)
def test_path_of_windows_comes_through_an_override_as_it_is(path):
    assert parse_single_override(f"hydra.run.dir={quote_literal(path)}").value() == path


@pytest.mark.parametrize("path", [r"C:\Users\me\data", "C:\\photos\\", "C:/photos"])
def test_path_of_windows_needs_no_quotes(path):
    assert parse_single_override(f"data_dir={path}").value() == path


def test_what_linux_tells_in_proc_and_cgroups_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "Path", lambda _: tmp_path / "missing" / "status")
    assert benchmark.reset_peak_memory() is None
    assert benchmark.read_peak_memory() is None
    monkeypatch.setattr(compilation_cache, "CPU_FACTS", tmp_path / "missing")
    assert compilation_cache.read_cpu_facts() == {}
    assert device_memory.read_machine_memory(tmp_path).name == "machine"
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert device_memory.count_cores() == os.cpu_count()


@pytest.mark.parametrize(
    ("platform", "expected"), [("darwin", "tensorflow-metal"), ("win32", "WSL2")]
)
def test_doctor_says_what_can_be_done_where_tensorflow_uses_no_gpu(monkeypatch, platform, expected):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(**{**vars(sys), "platform": platform}))
    monkeypatch.setattr(doctor, "query_gpus", list)
    finding = doctor.check_gpu()
    assert expected in finding.said
    assert finding.fix is None


def test_page_names_the_tests_of_this_file():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_page_names_the_tests_of_this_file"}
