"""Runs that several files of this folder look at, each trained once."""

import pytest

from helpers.run_files import SHORT


@pytest.fixture(scope="session")
def short_run(train_in, tmp_path_factory):
    """The run of SHORT, with a row of steps.csv every two steps: (Run, report)."""
    return train_in(tmp_path_factory.mktemp("short"))(*SHORT, "log_every=2")
