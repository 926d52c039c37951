"""Kept activations against the arithmetic of a course and against TensorFlow's own gradients."""

import math

import keras
import pytest
import tensorflow as tf
from keras import layers

from cnntrain.analysis.kept_activations import estimate_activations
from cnntrain.analysis.layer_table import count_totals

BATCH = 7  # of the graphs; a prime, so that no other axis is taken for it
# Operations that make no numbers of their own.
VIEWS = ("Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "PreventGradient")
NETWORKS = {
    "cnn_cifar": (32, []),
    "cnn_maxout": (32, []),
    "vgg16": (32, []),
    "resnet20_v1": (32, []),
    "resnet20_v1 in bfloat16": (32, ["precision=mixed_bfloat16"]),
}
SLOW = {
    "resnet50": (64, []),
    "resnet29_v2": (32, []),
    "densenet_bc100_k12": (32, []),
    "inception_mini": (32, []),
    "mobilenet_v2": (96, ["model.weights=null"]),
    "xception": (96, ["model.weights=null"]),
    "efficientnet_b0": (64, ["model.weights=null"]),
    "convnext_tiny": (64, ["model.weights=null"]),
    "vgg11_lrn": (32, []),
    "se_resnet50": (64, []),
    "googlenet": (96, ["model.auxiliary_weight=0"]),
}


def network(*stack):
    return keras.Sequential([keras.Input((100, 150, 3)), *stack])


def test_the_worked_example_of_the_course():
    """Géron computes a 5x5 convolution with 200 feature maps on 150x100 colour pixels."""
    net = network(layers.Conv2D(200, 5, padding="same"), layers.ReLU())
    assert count_totals(net)["parameters"] == 15_200
    assert count_totals(net)["multiply_adds"] == 225_000_000
    output = 100 * 150 * 200 * 4
    assert output == 12_000_000  # bytes of one image
    image = 100 * 150 * 3 * 4
    assert estimate_activations(net).kept_bytes == output + image
    assert 100 * output == 1_200_000_000  # of a batch of 100, all of it kept


def test_a_convolution_with_batch_norm_and_relu_keeps_two_tensors_not_three():
    conv = layers.Conv2D(4, 3, padding="same")
    net = network(conv, layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(1, 1))
    each = 100 * 150 * 4 * 4
    assert estimate_activations(net).kept_bytes == 2 * each + 100 * 150 * 3 * 4


def test_layers_below_the_first_that_trains_keep_nothing():
    net = network(
        layers.Conv2D(8, 3), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(2)
    )
    whole = estimate_activations(net).kept_bytes
    net.layers[0].trainable = False
    assert estimate_activations(net).kept_bytes == 8 * 4 < whole  # what goes into the dense layer


def test_what_each_layer_needs_adds_up():
    net = network(
        layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(2, 3)
    )
    found = estimate_activations(net)
    assert sum(found.bytes_by_layer.values()) == found.kept_bytes <= found.peak_bytes


@pytest.mark.parametrize(
    "name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_the_rules_say_what_tensorflow_keeps(spec, name):
    """Within 3 %: the graph of the gradient is traced, and what it reads of the forward pass is
    added up."""
    size, overrides = (NETWORKS | SLOW)[name]
    chosen = spec(f"model={name.split()[0]}", *overrides)
    keras.utils.clear_session()
    keras.config.set_dtype_policy(chosen.precision)
    try:
        with keras.StatelessScope(initialize_variables=False):
            body = chosen.model((size, size, 3), 10)
            images = keras.Input((size, size, 3), dtype="uint8")
            scaled = layers.Rescaling(1 / 255, dtype="float32")(images)
            net = keras.Model(images, body(scaled))
            expected = estimate_activations(net).kept_bytes
        assert kept_by_tensorflow(net, size) / BATCH == pytest.approx(expected, rel=0.03)
    finally:
        keras.config.set_dtype_policy("float32")


def kept_by_tensorflow(net, size):
    """Return the bytes of the tensors that the forward pass computes and the gradient reads."""
    trainable, others = net.trainable_variables, net.non_trainable_variables
    forward = set()

    @tf.function
    def step(images, labels, trained, fixed):
        with tf.GradientTape() as tape:
            tape.watch(trained)
            outputs, _ = net.stateless_call(trained, fixed, images, training=True)
            logits = tf.cast(tf.nest.flatten(outputs)[0], "float32")
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        forward.update(op.name for op in loss.graph.get_operations())
        return tape.gradient(loss, trained, unconnected_gradients="zero")

    def like(variables):
        return [tf.TensorSpec(v.shape, v.dtype) for v in variables]

    graph = step.get_concrete_function(
        tf.TensorSpec((BATCH, size, size, 3), "uint8"), tf.TensorSpec((BATCH,), "int32"),
        like(trainable), like(others),
    ).graph  # fmt: skip
    own = {}
    for op in graph.get_operations():
        if op.name in forward and op.type in VIEWS:
            own[op.outputs[0].name] = own.get(op.inputs[0].name, op.inputs[0])
    read = {}
    for op in graph.get_operations():
        if op.name not in forward and op.type not in ("Shape", "ShapeN"):
            for tensor in op.inputs:
                source = own.get(tensor.name, tensor)
                if source.op.name in forward and source.op.type not in ("Placeholder", "Const"):
                    read[source.name] = source
    return sum(
        math.prod(t.shape) * t.dtype.size
        for t in read.values()
        if t.shape.rank and t.shape[0] == BATCH
    )
