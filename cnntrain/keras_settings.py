"""Keras' own settings: those in `keras_home/keras.json`, whatever a person's machine has beside it.

When Keras is loaded it reads ~/.keras/keras.json, or the one in $KERAS_HOME, and variables that cut
every training and evaluation short. A run is a pure function of its spec, so that importing this
package, the one door to all of it, shows Keras a folder of ours instead. What is kept in the
user's folder, downloaded weights, is still found there: see `find_keras_folder`.
"""

import os
import sys
from pathlib import Path

KERAS_FOLDER = Path(__file__).with_name("keras_home")
USERS_VARIABLE = (
    "CNNTRAIN_USERS_KERAS_HOME"  # for child processes, which see our folder in KERAS_HOME
)
LIMIT_VARIABLES = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")


def apply_keras_settings() -> None:
    """Let Keras have our settings, whether it is loaded later or was loaded before."""
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
    """Set in a Keras that is loaded what it read elsewhere; its backend it cannot change."""
    import json

    import keras

    settings = json.loads((KERAS_FOLDER / "keras.json").read_text(encoding="utf-8"))
    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


def find_keras_folder() -> Path:
    """Keras' folder of this user, by the rule by which Keras finds it."""
    given = os.environ.get("KERAS_HOME", "")
    if given in ("", str(KERAS_FOLDER)):
        given = os.environ.get(USERS_VARIABLE, "~/.keras")
    return Path(given).expanduser()
