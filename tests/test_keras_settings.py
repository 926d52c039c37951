"""No keras.json and no KERAS_* variable decides anything; downloaded weights are still found."""

import json
import os
import subprocess
import sys

import pytest

from cnntrain import keras_settings

SEEN = """
import {first}
import {second}
import keras
config = keras.config
print(config.floatx(), config.epsilon(), config.image_data_format(), config.backend(),
      config.max_epochs(), config.max_steps_per_epoch())
"""
OURS = "float32 1e-07 channels_last tensorflow None None"
FILES = {
    "half": json.dumps({"floatx": "float16", "epsilon": 1e-4}),
    "channels first": json.dumps({"image_data_format": "channels_first"}),
    "jax": json.dumps({"backend": "jax"}),
    "no such type": json.dumps({"floatx": "bfloat32"}),
    "a whole epsilon": json.dumps({"epsilon": 1}),
    "a list": "[]",
    "no JSON": "{",
    "no text": "\udcff\udcfe",
}


def seen(home, first="cnntrain", second="keras", **variables):
    """Return the settings of Keras in a process that imports `first`, then `second`."""
    code = SEEN.format(first=first, second=second)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("KERAS", "CNNTRAIN"))}
    environment |= {"KERAS_HOME": str(home), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_file_of_a_person_decides_nothing(tmp_path, name):
    (tmp_path / "keras.json").write_text(FILES[name], errors="surrogateescape")
    assert seen(tmp_path) == OURS


@pytest.mark.parametrize(
    "order",
    [("cnntrain", "keras"), pytest.param(("keras", "cnntrain"), marks=pytest.mark.slow)],
    ids=["before Keras", "after it, as in a program of a user"],
)
def test_neither_file_nor_variables_decide_anything(tmp_path, order):
    settings = {"floatx": "float16", "epsilon": 1e-4, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    variables = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "2"}
    assert seen(tmp_path, *order, **variables) == OURS


def test_weights_are_looked_for_where_the_user_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_settings.find_keras_folder() == tmp_path
    keras_settings.apply_keras_settings()
    keras_settings.apply_keras_settings()  # a child process applies them again
    assert keras_settings.find_keras_folder() == tmp_path
    assert os.environ["KERAS_HOME"] == str(keras_settings.KERAS_FOLDER)
    monkeypatch.delenv("KERAS_HOME")
    keras_settings.apply_keras_settings()
    assert keras_settings.find_keras_folder().name == ".keras"
