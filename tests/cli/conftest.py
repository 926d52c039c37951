"""What the tests of `cnntrain data` share."""

import shlex

import pytest

from cnntrain.cli.main import main


@pytest.fixture
def data(tmp_path, monkeypatch, capsys):
    """Run `cnntrain data …` in an empty directory: data("list") -> (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNTRAIN_DATA", str(tmp_path / "data"))

    def run(words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *shlex.split(words)])
        streams = capsys.readouterr()
        return ended.value.code, streams.out, streams.err

    return run
