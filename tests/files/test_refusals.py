"""Errors of the system are explained: exit code 2 for a user's path, 1 for a machine's limit."""

import errno
import os

import pytest

from cnntrain.cli import main
from cnntrain.errors import Failure, SpecError
from cnntrain.files.refusals import explain_os_error
from cnntrain.spec.nested import set_dotted_value

LONG = "a" * 300
# Verbs that take a path: {path} is one that cannot be used.
VERBS = [
    "resume {path}", "report {path}", "compare {path}", "evaluate {path}", "predict {path} x.png",
    "look {path} x.png", "export {path} --format keras", "init_from={path}",
    "plan init_from={path}", "--config-dir {path} --cfg job", "list --config-dir {path}",
    "data list --config-dir {path}", "-m seed=1,2 init_from={path}",
]  # fmt: skip


def answered(words: str, capsys) -> str:
    """Return the error message of a command line that must be refused."""
    with pytest.raises(SystemExit) as ended:
        main.main(words.split())
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert said.startswith("Error: ")
    return said


@pytest.mark.parametrize("verb", VERBS)
def test_name_that_is_too_long_is_answered(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = answered(verb.format(path=LONG), capsys)
    assert f"{LONG} cannot be read: File name too long" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter everything")
@pytest.mark.parametrize("verb", VERBS)
def test_folder_that_may_not_be_entered_is_answered(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked").mkdir(mode=0)
    said = answered(verb.format(path="locked/run"), capsys)
    assert "locked/run cannot be read: Permission denied" in said


@pytest.mark.parametrize("verb", VERBS[:8])
def test_file_on_the_way_to_a_path_is_answered(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    answered(verb.format(path="file/below"), capsys)
    (tmp_path / "loop").symlink_to("loop")
    answered(verb.format(path="loop"), capsys)


def test_error_of_a_path_names_the_word_that_was_given():
    error = PermissionError(errno.EACCES, "Permission denied", "/home/me/run/sweep.yaml")
    known = explain_os_error(error, ["resume", "/home/me/run", "data_dir=/home"])
    assert isinstance(known, SpecError)
    assert known.given == "/home/me/run cannot be read: Permission denied"


def test_error_inside_a_folder_of_the_user_names_the_entry(tmp_path):
    (tmp_path / "job.json").mkdir()
    error = IsADirectoryError(errno.EISDIR, "Is a directory", str(tmp_path / "job.json"))
    known = explain_os_error(error, ["resume", str(tmp_path)])
    assert isinstance(known, SpecError)
    assert known.given == f"{tmp_path}/job.json cannot be read: Is a directory"


def test_second_run_of_resume_and_a_file_of_one_are_answered(left_behind, capsys, monkeypatch):
    monkeypatch.chdir(left_behind("a").parent)
    assert "try       cnntrain resume b" in answered("resume a b", capsys)
    assert "is a file" in answered("resume a/spec.yaml", capsys)
    assert "missing is not there" in answered("resume missing", capsys)


@pytest.mark.parametrize(
    ("number", "path", "kind"),
    [
        (errno.EACCES, "/x", SpecError),
        (errno.EROFS, "/x", SpecError),
        (errno.ELOOP, "/x", SpecError),
        (errno.ENOENT, "/mine/x", SpecError),
        (errno.ENOSPC, None, Failure),
        (errno.EMFILE, "/x", Failure),
        (errno.EIO, "/x", Failure),
        (errno.ENOENT, "/x", type(None)),  # a file of ours that is missing
        (errno.EBADF, None, type(None)),
        (errno.EINVAL, None, type(None)),
    ],
)
def test_only_errors_that_are_no_bug_are_explained(number, path, kind):
    assert type(explain_os_error(OSError(number, os.strerror(number), path), ["/mine"])) is kind


def test_bug_of_ours_keeps_its_traceback(monkeypatch):
    def run(words):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/our/own/file.yaml")

    monkeypatch.setattr(main, "run_verb", run)
    with pytest.raises(FileNotFoundError):
        main.main(["list"])


@pytest.mark.parametrize("verb", VERBS[:8])
def test_home_of_an_unknown_user_is_answered(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "~nobody-at-all/x" in answered(verb.format(path="~nobody-at-all/x"), capsys)


def test_setting_within_one_that_has_none_is_answered():
    for key in ("dataset.valid.x", "dataset.foo.bar", "foo.bar"):
        with pytest.raises(SpecError, match="is not a setting"):
            set_dotted_value({"dataset": {"valid": 0.1}}, key, 1)
