"""Every option of conf/model learns: gradients reach all variables, and 16 images are learnt.

Both tests take what they need from conf/ and from the tables of the families' tests, so that they
cover a new option or family by themselves; the tables below are for those that need something else.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnntrain.data.source import Examples, Splits
from cnntrain.spec import option_files
from cnntrain.spec.signatures import list_components
from cnntrain.training import losses
from cnntrain.training.networks.build import build_network
from helpers.model_tables import COUNTS, FIXED, HEAVY, MODELS, SMALLEST, as_list

pytestmark = pytest.mark.slow

STEPS = 200
# Option -> the step whose gradients reach all. Fixup begins with a head and branches of zeros: the
# first step moves the head, the second the branches' last convolutions, the third the others.
REACHED = {"resnet20_fixup": 3}
# Family -> (option, overrides) to learn a few images with, where `smallest` would choose worse.
CHOSEN = {
    "application": ("mobilenet", ("model.alpha=0.25",)),
    "cnn_depth": ("cnn_depth", ("model.filters=32",)),  # 16 are at 13 % of the start
    # Without batch norm, as the course has it, it learns at 3e-4, and not at 1e-3.
    "inception_tutorial": ("inception_tutorial", ("model.batch_norm=true",)),
    "regnet": ("regnetx_200mf", ("model.depth=3",)),  # 13 blocks have 408 groups to compile
}
SETTINGS = {
    option: option_files.load_option(option_files.CONF / "model" / f"{option}.yaml")
    for option in MODELS
}


def plain(option: str) -> list[str]:
    """Return overrides for random weights and no dropout, so that nothing hinders learning."""
    knobs = SETTINGS[option]
    without = [f"model.{knob}=0" for knob in knobs if knob.endswith("dropout")]
    return [f"model={option}", *without, *(["model.weights=null"] if knobs.get("weights") else [])]


def made_up(option: str, count: int, classes: int) -> Splits:
    """Return random pixels of the smallest size that an option takes, with classes in turn."""
    size = SMALLEST.get(option, 32)
    image_shape, all_classes = FIXED.get(option, ((size, size, 3), classes))
    images = np.random.default_rng(0).integers(0, 256, (count, *image_shape), np.uint8)
    examples = Examples(images, np.arange(count, dtype=np.int32) % classes)
    return Splits(examples, examples, examples, tuple(map(str, range(all_classes))), {})


def begun(spec, splits: Splits, *overrides: str) -> tuple[keras.Model, np.ndarray]:
    """Return a network with the first weights that training gives it, and the images as its input.

    The network is the builder's own, with auxiliary heads that the saved one may lack.
    """
    built = build_network(spec(*overrides), splits, total_steps=STEPS)
    first = built.network.get_layer("normalisation")
    return built.model, np.asarray(first(splits.train.images))


def objective(body: keras.Model, images: np.ndarray, labels: np.ndarray) -> tf.Tensor:
    """Return the training cross-entropy, plus that of each auxiliary head times its weight."""
    outputs = as_list(body(images, training=True))
    weights = [1.0, *getattr(body, "auxiliary", ())]
    means = [tf.reduce_mean(losses.compute_cross_entropy(labels, logits)) for logits in outputs]
    return sum(weight * mean for weight, mean in zip(weights, means, strict=True))


@pytest.mark.parametrize("option", MODELS)
def test_gradients_reach_every_variable(spec, option):
    splits = made_up(option, 2 if option in HEAVY else 4, 7)
    body, images = begun(spec, splits, *plain(option))
    variables = body.trainable_variables
    optimizer = keras.optimizers.SGD(1e-3)
    for _ in range(REACHED.get(option, 1)):
        with tf.GradientTape() as tape:
            loss = objective(body, images, splits.train.labels)
        gradients = tape.gradient(loss, values(variables))
        assert np.isfinite(loss)
        assert unless(gradients, variables, lambda gradient: gradient is not None) == []
        assert unless(gradients, variables, lambda gradient: np.all(np.isfinite(gradient))) == []
        optimizer.apply(gradients, variables)
    assert unless(gradients, variables, np.any) == []
    assert all(np.all(np.isfinite(variable)) for variable in variables)
    keras.utils.clear_session()


def unless(
    gradients: list[tf.Tensor | None],
    variables: list[keras.Variable],
    condition: Callable[[tf.Tensor | None], bool],
) -> list[str]:
    """Return the paths of the variables whose gradients do not meet a condition."""
    pairs = zip(variables, gradients, strict=True)
    return [variable.path for variable, gradient in pairs if not condition(gradient)]


def values(variables: list[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def smallest(family: str) -> tuple[str, tuple[str, ...]]:
    """Return the option of a family with the fewest parameters that its tests count."""
    counted = {
        option: max(total or 0, trainable or 0)
        for (option, *_), (total, trainable) in COUNTS.items()
        if SETTINGS[option]["name"] == family
    }
    return min(counted, key=lambda option: (counted[option], option)), ()


@pytest.mark.parametrize("family", list_components("model"))
def test_smallest_of_a_family_learns_sixteen_images(spec, family):
    option, overrides = CHOSEN.get(family) or smallest(family)
    splits = made_up(option, 16, 4)
    body, images = begun(spec, splits, *plain(option), *overrides)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(body.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = objective(body, images, splits.train.labels)
        variables = body.trainable_variables
        optimizer.apply(tape.gradient(loss, values(variables)), variables)
        return loss

    first = loss = float(step())
    for _ in range(STEPS):
        if loss < first / 10:
            break
        loss = float(step())
    assert loss < first / 10, f"{option} came from {first:.3f} to {loss:.3f}"
    keras.utils.clear_session()


def test_tables_name_what_exists():
    assert REACHED.keys() <= set(MODELS)
    assert CHOSEN.keys() <= set(list_components("model"))
