"""Predictions of pictures, also of broken ones, and of classes with any names."""

import numpy as np

from cnntrain.api.predictions import Predictions
from cnntrain.inference.predict_photos import Prediction


def test_class_with_the_name_of_another_column_hides_none():
    seen = Prediction("a.png", np.array([0.25, 0.75]), None)
    table = Predictions([seen], ("cat", "label")).table
    assert table.to_dict("records") == [
        {"image": "a.png", "label": "label", "error": None, "cat": 0.25, "class label": 0.75}
    ]


def test_set_of_a_broken_picture_is_not_that_of_none_of_these():
    refused = Prediction("a.png", np.array([0.25, 0.75]), None, np.array([False, False]))
    broken = Prediction("b.png", None, "it is empty")
    assert Predictions([refused, broken], ("cat", "dog"), calibration=...).sets == [[], None]
