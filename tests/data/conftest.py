"""What several files of this folder need."""

import pytest


@pytest.fixture
def given(tmp_path):
    """An empty folder, for what the user has."""
    folder = tmp_path / "given"
    folder.mkdir()
    return folder
