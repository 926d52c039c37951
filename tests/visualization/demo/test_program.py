"""What the page computes, in V8, against Keras: each kind of layer, and its gradient."""

import base64
import json
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from cnntrain.analysis.zoo import COUNTS_FILE
from cnntrain.errors import SpecError
from cnntrain.inference.convert import add_probabilities
from cnntrain.reports.webpage import PAGES
from cnntrain.visualization.demo.page import build_program
from cnntrain.visualization.demo.translation import WRITERS, Translation
from cnntrain.visualization.demo.v8 import open_page
from cnntrain.visualization.grad_cam import compute_grad_cam
from cnntrain.visualization.layer_outputs import compute_layer_outputs
from helpers.model_tables import FIXED, MODELS, SMALLEST

SHAPE = (8, 9, 3)
LARGEST = 25e6 / 4  # parameters of a network for a page
COUNTS = json.loads(COUNTS_FILE.read_text())
SMALL = [option for option in MODELS if COUNTS[option]["parameters"] <= LARGEST]


def squeeze_and_excite(x):
    scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, layers.Dense(6, activation="sigmoid")(scale)])


def repeat_grey(x):
    return ops.repeat(x[..., :1], 3, axis=-1)


# From feature maps (6, 7, 6) to whatever the layer, or the operation, makes of them.
CASES = {
    "conv": layers.Conv2D(5, 3, strides=2, padding="same", activation="tanh"),
    "even_conv": layers.Conv2D(4, (2, 4), strides=(2, 1), padding="same"),
    "dilated": layers.Conv2D(5, 3, dilation_rate=2),
    "groups": layers.Conv2D(8, 3, groups=2, use_bias=False),
    "depthwise": layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same"),
    "separable": layers.SeparableConv2D(5, 3, padding="same", activation="sigmoid"),
    "dense": layers.Dense(5, activation="silu"),
    "max_pool": layers.MaxPooling2D(3, strides=2, padding="same"),
    "average_pool": layers.AveragePooling2D(3, strides=2, padding="same"),
    "global_max": layers.GlobalMaxPooling2D(),
    "global_average": layers.GlobalAveragePooling2D(keepdims=True),
    "relu": layers.ReLU(max_value=1.0, negative_slope=0.1),
    "leaky": layers.LeakyReLU(0.3),
    "activation": layers.Activation("relu6"),
    "elu": layers.Activation("elu"),
    "selu": layers.Activation("selu"),
    "exact_gelu": layers.Activation("gelu"),
    "softmax": layers.Softmax(),
    "functions": lambda x: ops.relu(x) + ops.relu6(x) * ops.tanh(x) - ops.silu(ops.sigmoid(x)),
    "gelu": lambda x: ops.gelu(x) + ops.gelu(x, approximate=False) + ops.softmax(x),
    "rescaling": layers.Rescaling(2.0, [1.0, 2, 3, 4, 5, 6]),
    "batch_norm": layers.BatchNormalization(),
    "bare_batch_norm": layers.BatchNormalization(scale=False, center=False),
    "layer_norm": layers.LayerNormalization(),
    "constant_norm": layers.Normalization(mean=[0.1] * 6, variance=[0.0, 1, 2, 3, 4, 5]),
    "unit_norm": layers.UnitNormalization(),
    "maxout": lambda x: ops.max(ops.reshape(x, (-1, 6, 7, 3, 2)), axis=-1),
    "sum": lambda x: ops.sum(ops.square(x), axis=-1, keepdims=True),
    "shortcut": lambda x: layers.Add()([x, layers.Conv2D(6, 3, padding="same")(x)]),
    "difference": lambda x: layers.Subtract()([x, 2 * x]) + (1 - x) * np.arange(6.0),
    "zeros": lambda x: ops.zeros_like(x) + layers.Multiply()([x, x]),
    "excite": squeeze_and_excite,
    "concat": lambda x: layers.Concatenate()([x, 3 * x[..., :1], x]),
    "padding": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "cropping": layers.Cropping2D(((1, 2), (0, 3))),
    "pad": lambda x: ops.pad(x[:, ::2, 1::2, 2:], [[0, 0], [1, 0], [0, 0], [0, 3]]),
    "split": lambda x: ops.split(x, 2, axis=-1)[1],
    "take": lambda x: ops.take(x, [4, 0, -1], axis=-1),
    "repeat": repeat_grey,
    "squeeze": lambda x: ops.squeeze(layers.GlobalMaxPooling2D(keepdims=True)(x), axis=[1, 2]),
    "kept": lambda x: layers.Dropout(0.5)(layers.SpatialDropout2D(0.5)(layers.Identity()(x))),
    "cast": lambda x: ops.cast(ops.cast(x, "float64"), "float32"),
}


def build_network(*tails):
    """Return a network as training saves it, with random weights: a convolution, tails, logits.

    Each tail has a logit of its own. It is a model in the model, so that names may repeat.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    maps = layers.Conv2D(6, 3, name="maps")(inputs)  # (6, 7, 6)
    logits = []
    for number, tail in enumerate(tails):
        own = keras.Input(maps.shape[1:])
        logit = layers.Dense(1)(layers.Flatten()(tail(own)))
        logits.append(keras.Model(own, logit, name=f"tail{number}")(maps))
    outputs = layers.Concatenate(name="logits")(logits) if len(logits) > 1 else logits[0]
    model = keras.Model(inputs, outputs, name="model")
    randomise_vectors(model)
    images = keras.Input(SHAPE, dtype="uint8")
    scaled = layers.Rescaling(1 / 128, -1.0, dtype="float32", name="normalisation")(images)
    return keras.Model(images, model(scaled), name="network")


def randomise_vectors(model):
    """Give biases, and what norms have, values that nobody starts with."""
    random = np.random.default_rng(0)
    for variable in model.variables:
        if len(variable.shape) == 1:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))


def write_bare_page(path, network, maps):
    """Write a page that has only what V8 runs; Grad-CAM reads the layer named `maps`."""
    exported = add_probabilities(network)
    program, weights = build_program(exported)
    if maps is not None:
        layer = network.layers[-1].get_layer(maps)
        program["outputs"]["maps"] = Translation(exported).layer_arrays[id(layer)].number
    scripts = {
        "network-script": (PAGES / "demo_network.js").read_text(),
        "pixels-script": (PAGES / "demo_pixels.js").read_text(),
        "program": json.dumps(program),
        "weights": weights,
    }
    path.write_text("".join(f'<script id="{k}">{v}</script>\n' for k, v in scripts.items()))


def call_numbers(call, name, image, argument):
    text = call(name, base64.b64encode(image.tobytes()).decode(), argument)
    return np.frombuffer(base64.b64decode(text), "<f4")


def compute_grad_cams(network, image):
    """Return the logits (n,) of an image, and the Grad-CAM maps of all logits in `maps`."""
    with tf.GradientTape(persistent=True) as tape:
        images = tf.constant(image[np.newaxis], tf.float32)
        outputs, logits = compute_layer_outputs(network, images)
        scores = tf.unstack(logits[0])
    maps = outputs["maps"]  # (1, h, w, channels)
    gradients = [
        tape.gradient(score, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for score in scores
    ]
    sums = [np.sum(maps * np.mean(one, axis=(1, 2)), axis=-1)[0] for one in gradients]
    return logits[0].numpy(), np.maximum(sums, 0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Return scores and heat of each case, as the page computes them and as Keras does."""
    pytest.importorskip("py_mini_racer")
    network = build_network(*CASES.values())
    image = np.random.default_rng(2).integers(0, 256, SHAPE, np.uint8)
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_bare_page(path, network, "maps")
    with open_page(path) as call:
        scores = call_numbers(call, "predictImage", image, "scores")
        heats = [call_numbers(call, "computeHeat", image, n) for n in range(len(CASES))]
    logits, cams = compute_grad_cams(network, image)
    return dict(zip(CASES, zip(scores, heats, logits, cams, strict=True), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_layer_and_its_gradient_are_those_of_keras(cases, case):
    score, heat, logit, cam = cases[case]
    assert score == pytest.approx(logit, rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(heat, cam.ravel(), rtol=1e-3, atol=1e-4 * max(cam.max(), 1e-3))


def test_the_cases_have_every_kind_of_layer(monkeypatch):
    """Whoever teaches the page a layer is made to test it."""
    used = set()

    class Recorder(dict):
        def get(self, kind):
            used.add(kind)
            return WRITERS.get(kind)

    network = add_probabilities(build_network(*CASES.values()))
    monkeypatch.setattr("cnntrain.visualization.demo.translation.WRITERS", Recorder())
    Translation(network)
    assert used == set(WRITERS)


REFUSED = {
    "Conv2DTranspose": layers.Conv2DTranspose(3, 2),
    "Activation": layers.Activation("softplus"),
    "Concatenate": lambda x: layers.Concatenate(axis=1)([x, x]),
    "Softmax": layers.Softmax(axis=1),
    "Max": lambda x: ops.max(x, axis=1),
    "Pad": lambda x: ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "reflect"),
    "Add": lambda x: x + x[..., :1],
    "Multiply": lambda x: x * np.ones((6, 7, 1)),
    "Subtract": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x) - np.ones((6, 7, 6)),
    "Normalization": layers.Normalization(axis=1, mean=[0.1] * 6, variance=[1.0] * 6),
    "Conv2D": layers.Conv2D(3, 3, activation=partial(keras.activations.relu, max_value=6)),
    "BatchNormalization": layers.BatchNormalization(axis=1),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_layer_that_the_page_cannot_compute_is_refused(kind):
    with pytest.raises(SpecError, match=f"is a {kind} that a page cannot compute") as answer:
        Translation(add_probabilities(build_network(REFUSED[kind])))
    assert answer.value.hint == "--format onnx"


def test_the_score_of_a_single_logit_is_its_difference_to_zero(tmp_path):
    pytest.importorskip("py_mini_racer")
    network = build_network(layers.Activation("tanh"))
    image = np.random.default_rng(2).integers(0, 256, SHAPE, np.uint8)
    write_bare_page(tmp_path / "page.html", network, "maps")
    cams = [compute_grad_cam(network, image, "maps", target) for target in (0, 1)]
    with open_page(tmp_path / "page.html") as call:
        heats = [call_numbers(call, "computeHeat", image, target) for target in (0, 1)]
    assert np.max(cams) > 0
    np.testing.assert_allclose(heats, np.reshape(cams, (2, -1)), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("option", SMALL)
def test_every_small_model_has_the_logits_of_keras(spec, tmp_path, option):
    pytest.importorskip("py_mini_racer")
    side = SMALLEST.get(option, 32)
    shape, classes = FIXED.get(option, ((side, side, 3), 10))
    chosen = spec(f"model={option}").model
    bare = {"weights": None} if chosen.knobs.get("weights") else {}
    keras.utils.clear_session()
    model = replace(chosen, knobs={**chosen.knobs, **bare})(shape, classes)
    model = keras.Model(model.inputs, model.outputs[0], name="model")
    randomise_vectors(model)
    images = keras.Input(shape, dtype="uint8")
    scaled = layers.Rescaling(1 / 128, -1.0, dtype="float32", name="normalisation")(images)
    network = keras.Model(images, model(scaled), name="network")
    image = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    write_bare_page(tmp_path / "page.html", network, None)
    with open_page(tmp_path / "page.html") as call:
        scores = call_numbers(call, "predictImage", image, "scores")
    logits = np.asarray(network(image[np.newaxis]))[0]
    np.testing.assert_allclose(scores, logits, rtol=1e-4, atol=1e-5 * abs(logits).max())
