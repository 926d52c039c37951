"""Best, early stopping and plateau decide as promised, the plateau as Keras does."""

import pytest

from cnntrain.spec.metrics import choose_tie_breaker, higher_is_better
from cnntrain.spec.spec import SETTINGS
from cnntrain.training.monitor import Monitor, PlateauWatch


def watch(name, values, min_delta=0.0):
    monitor = Monitor(name, min_delta)
    return [monitor.update_best({name: value}) for value in values], monitor


def test_losses_fall_and_accuracies_rise():
    assert watch("valid.loss", [3, 2, 2.5, 1])[0] == [True, True, False, True]
    assert watch("valid.accuracy", [0.1, 0.2, 0.2, 0.3])[0] == [True, True, False, True]


@pytest.mark.parametrize("name", SETTINGS["monitor"].__args__)
def test_every_monitor_has_a_better_direction(name):
    assert higher_is_better(name) == (not name.endswith("loss"))
    assert watch(name, [0.5, 0.7])[0] == [True, higher_is_better(name)]
    assert choose_tie_breaker(name) == f"{name.partition('.')[0]}.loss"


def test_numbers_that_are_no_scores_are_their_own_tie_breakers():
    assert (higher_is_better("seconds"), choose_tie_breaker("seconds")) == (False, "seconds")


def test_small_steps_within_min_delta_do_not_count():
    found, monitor = watch("valid.loss", [1.0, 0.95, 0.89], min_delta=0.1)
    assert found == [True, False, True]
    assert (monitor.best, monitor.waited) == (0.89, 0)


def test_lower_loss_decides_between_equal_accuracies():
    monitor = Monitor("valid.accuracy", tie="valid.loss")
    rows = [(0.9, 0.5), (0.9, 0.4), (0.9, 0.45), (0.8, 0.1), (0.95, 0.6)]
    found = [monitor.update_best({"valid.accuracy": a, "valid.loss": b}) for a, b in rows]
    assert found == [True, True, False, False, True]


def test_nan_is_never_better_and_is_waited_through():
    found, monitor = watch("valid.loss", [float("nan"), 1.0, float("nan")])
    assert found == [False, True, False]
    assert monitor.waited == 1


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("cooldown", [0, 1, 2])
def test_plateau_falls_when_keras_would_reduce(patience, cooldown):
    import keras
    import numpy as np

    losses = np.random.default_rng(patience * 7 + cooldown).normal(1, 0.1, 60).tolist()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    theirs = keras.callbacks.ReduceLROnPlateau(
        factor=0.9, patience=patience, cooldown=cooldown, min_delta=1e-2, monitor="val_loss"
    )
    theirs.set_model(model)
    theirs.on_train_begin()
    ours = PlateauWatch(Monitor("valid.loss", 1e-2), patience, cooldown)
    falls = 0
    for epoch, loss in enumerate(losses):
        before = float(model.optimizer.learning_rate)
        theirs.on_epoch_end(epoch, {"val_loss": loss})
        fell = float(model.optimizer.learning_rate) < before
        assert ours.should_reduce({"valid.loss": loss}) == fell, epoch
        falls += fell
    assert falls > 2


def test_plateau_without_patience_never_falls():
    ours = PlateauWatch(Monitor("valid.loss"), None, 0)
    assert not any(ours.should_reduce({"valid.loss": 1.0}) for _ in range(50))
