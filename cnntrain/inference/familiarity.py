"""How near an image is to those that a network was trained on, by its features.

A softmax has to choose among the classes, and is often sure of an image of none of them. The
features that the head reads tell such images better: they are far from those of all training images
(Sun et al. 2022, arXiv:2204.06507). All is layers of Keras, so that an export can contain it.
"""

import keras
import numpy as np
from keras import layers, ops

from cnntrain.data.source import Examples
from cnntrain.inference.parity import pick_spread_rows
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes
from cnntrain.runs.calibration import Calibration
from cnntrain.training.evaluation import predict_outputs
from cnntrain.training.labels.kind import compute_log_probabilities

BANK_IMAGES = 1000  # training images whose features are kept, spread over all
BANK_NUMBERS = 2**22  # of features that are kept at most: 16 MiB


def find_head_features(model: keras.Model) -> keras.KerasTensor:
    """Return the tensor of a model's graph that the head reads.

    It is the output of the layer `features`, where there is one, else what the last layer with
    weights is called on.
    """
    if any(layer.name == "features" for layer in model.layers):
        return model.get_layer("features").output
    calls = [n for n in iterate_nodes(get_graph(model)) if getattr(n.operation, "weights", ())]
    return calls[-1].input_tensors[0]


def build_feature_network(network: keras.Model) -> keras.Model:
    """Return a network with two outputs: the logits, and the features (B, d) as unit vectors.

    A saved `network` is a chain of the normalisation and the model that was built behind it.
    Feature maps are averaged over their positions.
    """
    *front, model = network.layers[1:]
    inner = keras.Model(model.inputs, [model.outputs[0], find_head_features(model)])
    images = x = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    for layer in front:
        x = layer(x)
    logits, features = inner(x)
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(dtype="float32")(features)
    features = layers.Flatten(dtype="float32")(features)  # (B, d)
    return keras.Model(images, [logits, layers.UnitNormalization(dtype="float32")(features)])


def collect_bank(network: keras.Model, train: Examples, batch_size: int) -> np.ndarray:
    """Return the features (m, d) of some training images, as unit vectors in float32."""
    both = build_feature_network(network)
    features = keras.Model(both.inputs, both.outputs[1])
    count = max(1, min(BANK_IMAGES, BANK_NUMBERS // features.output_shape[-1]))
    some = train[pick_spread_rows(len(train), count)]
    return predict_outputs(features, some, batch_size).astype(np.float32)


def measure_distance(features: keras.KerasTensor, bank: np.ndarray) -> keras.KerasTensor:
    """Return the distances (B, 1) of features (B, d) from the nearest row of a bank (m, d).

    All are unit vectors; the distance is 1 - the cosine of their angle.
    """
    compare = layers.Dense(len(bank), use_bias=False, dtype="float32", name="nearness")
    similarities = compare(features)  # (B, m)
    compare.set_weights([bank.T])
    return 1.0 - ops.max(similarities, axis=-1, keepdims=True)


def build_scoring_network(network: keras.Model, bank: np.ndarray) -> keras.Model:
    """Return a network from images to the logits, and behind these the distance: (B, units + 1)."""
    both = build_feature_network(network)
    logits, features = both.outputs
    columns = [layers.Identity(dtype="float32")(logits), measure_distance(features, bank)]
    return keras.Model(both.inputs, layers.Concatenate(dtype="float32")(columns))


def add_calibrated_outputs(network: keras.Model, calibration: Calibration) -> keras.Model:
    """Return a network that puts out `probabilities` (B, classes) and `unfamiliarity` (B,).

    They are what `decide_labels` says of the same images, as layers.
    """
    both = build_feature_network(network)
    logits, features = both.outputs
    if logits.shape[-1] == 1:  # as in the export of a network that is not calibrated
        logits = layers.Concatenate()([ops.zeros_like(logits), logits])
    cooled = layers.Rescaling(1 / calibration.temperature, dtype="float32")(logits)
    distance = ops.squeeze(measure_distance(features, calibration.bank), axis=-1)
    scaled = layers.Rescaling(1 / calibration.limit, dtype="float32", name="unfamiliarity")
    outputs = {
        "probabilities": layers.Softmax(dtype="float32", name="probabilities")(cooled),
        "unfamiliarity": scaled(distance),
    }
    return keras.Model(both.inputs, outputs, name=network.name)


def split_scores(outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits (N, units) and the distances (N,) of what a scoring network has put out."""
    return outputs[:, :-1], outputs[:, -1].astype(np.float64)


def decide_labels(
    calibration: Calibration, logits: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities (N, classes), unfamiliarities (N,) and sets of labels (N, classes).

    The sets are boolean. An unfamiliarity above 1 is too much: the set is empty. The arguments are
    logits (N, units) and distances (N,) of a scoring network.
    """
    probabilities = np.exp(compute_log_probabilities(logits / calibration.temperature))
    unfamiliarity = distances / calibration.limit
    sets = (probabilities >= calibration.threshold) & (unfamiliarity <= 1)[:, np.newaxis]
    return probabilities, unfamiliarity, sets
