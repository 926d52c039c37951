"""Keras' own settings come from `keras_home/keras.json`, whatever the user's machine has.

When Keras is loaded, it reads ~/.keras/keras.json, or the one in $KERAS_HOME, and variables that
cut every training and evaluation short. A run is a pure function of its spec. Therefore importing
this package makes Keras read our folder instead. Downloaded weights stay in the user's folder,
which `find_keras_folder` returns.
"""

import os
import sys
from pathlib import Path

KERAS_FOLDER = Path(__file__).with_name("keras_home")
# Keeps the user's KERAS_HOME for child processes, which see our folder there.
USERS_VARIABLE = "CNNTRAIN_USERS_KERAS_HOME"
LIMIT_VARIABLES = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")


def apply_keras_settings() -> None:
    """Apply our settings to Keras, whether it is loaded later or was loaded before."""
    given = os.environ.get("KERAS_HOME")
    if given != str(KERAS_FOLDER):
        os.environ.pop(USERS_VARIABLE, None)
        os.environ |= {USERS_VARIABLE: given} if given else {}
        os.environ["KERAS_HOME"] = str(KERAS_FOLDER)
    for name in LIMIT_VARIABLES:
        os.environ.pop(name, None)
    if sys.modules.get("keras") is not None:
        reconfigure_loaded_keras()


def reconfigure_loaded_keras() -> None:
    """Apply our settings to a Keras that is loaded; its backend cannot change any more."""
    import json

    import keras

    settings = json.loads((KERAS_FOLDER / "keras.json").read_text(encoding="utf-8"))
    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


def find_keras_folder() -> Path:
    """Return the user's Keras folder: $KERAS_HOME before it became ours, or ~/.keras."""
    given = os.environ.get("KERAS_HOME", "")
    if given in ("", str(KERAS_FOLDER)):
        given = os.environ.get(USERS_VARIABLE, "~/.keras")
    return Path(given).expanduser()
