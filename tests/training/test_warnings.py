"""Warnings are sentences made of numbers, or None; the loop's tests see that they are given."""

import numpy as np

from cnntrain.training import warnings


def test_training_that_waits_for_its_images_is_told_what_would_help():
    waits = {"waiting": 30.0, "steps": 70.0, "evaluation": 5.0}
    said = warnings.warn_about_input(waits, decodes=True, on_device=False)
    assert "30% of the time" in said
    assert "dataset.cache=memory" in said
    assert "pipeline=device" in warnings.warn_about_input(waits, decodes=False, on_device=False)
    assert "pipeline=device" not in warnings.warn_about_input(waits, decodes=False, on_device=True)


def test_short_waits_are_not_worth_a_word():
    for spent in ({"waiting": 0.5, "steps": 0.1}, {"waiting": 10.0, "steps": 90.0}, {}):
        assert warnings.warn_about_input(spent, decodes=False, on_device=False) is None


def test_loss_near_that_of_guessing_is_warned_of():
    assert "as if the network guessed" in warnings.warn_about_guessing(
        200, 2.31, 2.3, (2600, 25600), 0.1
    )
    assert warnings.warn_about_guessing(200, 2.0, 2.3, (2600, 25600), 0.1) is None


def test_network_that_recognises_more_than_chance_does_not_guess_whatever_its_loss():
    assert warnings.warn_about_guessing(30, 2.3, 2.3, (300, 1920), 0.1) is None
    assert warnings.warn_about_guessing(30, 2.3, 2.3, (200, 1920), 0.1) is not None
    assert warnings.warn_about_guessing(30, 0.69, 0.69, (1000, 1920), 0.5) is not None


def test_standing_still_is_warned_of_only_if_nothing_has_changed():
    weights = [np.ones(2), np.zeros(3)]
    assert "changed no weight" in warnings.warn_about_standstill(weights, lambda: weights)
    assert warnings.warn_about_standstill(weights, lambda: [np.ones(2), np.ones(3)]) is None


def test_steps_that_float16_skips_are_warned_of_if_they_are_many():
    assert "6 of 10 steps were skipped" in warnings.warn_about_skipped_steps(4, 10)
    assert warnings.warn_about_skipped_steps(5, 10) is None
