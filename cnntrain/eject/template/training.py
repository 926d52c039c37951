"""Training and evaluation."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cnntrain.eject.template.images import load_data, make_batch
from cnntrain.eject.template.network import build_network
from cnntrain.eject.template.settings import (
    BATCH_SIZE,
    CACHES_FEATURES,
    CHANGES_LOSS,
    EMA_DECAY,
    FOCAL_GAMMA,
    HAS_PENALTY,
    HAS_VALID,
    IMAGE_SHAPE,
    IS_FROZEN,
    LABEL_SMOOTHING,
    MONITOR,
    ONE_LOGIT,
    PLATEAU_FACTOR,
    PLATEAU_PATIENCE,
    PRECISION,
    RUN_DIGEST,
    SEED,
    SOFT_LABELS,
    STEPS_PER_EPOCH,
    STOP_MIN_DELTA,
    STOP_PATIENCE,
    THREADS,
    TOTAL_STEPS,
)
from cnntrain.eject.template.step import (
    LearningRate,
    Plateau,
    build_optimizer,
    compute_cross_entropy,
)
from cnntrain.eject.weights_digest import compute_weights_digest
from cnntrain.training.losses import build_loss, expand_single_logit
from cnntrain.training.weight_average import WeightAverage


def compile_prediction(network: keras.Model) -> Callable:
    """Return the function from a batch to what a network makes of it: no dropout, no gradient."""
    signature = [tf.TensorSpec(network.inputs[0].shape, network.inputs[0].dtype)]
    return tf.function(lambda batch: network(batch, training=False), signature)


def predict_outputs(predict: Callable, images: np.ndarray) -> np.ndarray:
    """Return what a compiled network makes of images, in batches of twice the size of training."""
    size = 2 * BATCH_SIZE
    batches = [images[first : first + size] for first in range(0, len(images), size)]
    return np.concatenate([predict(batch).numpy() for batch in batches])


def evaluate_network(predict: Callable, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the cross-entropy, in nats, and the accuracy of a compiled network, in float64."""
    logits = predict_outputs(predict, images).astype(np.float64)
    if ONE_LOGIT:
        logits = expand_single_logit(logits, np)
    shifted = logits - logits.max(axis=-1, keepdims=True)  # else the powers could overflow
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = -np.take_along_axis(log_p, labels[:, np.newaxis], axis=-1).mean()
    accuracy = (logits.argmax(axis=-1) == labels).mean()
    return {"loss": float(loss), "accuracy": float(accuracy)}


def freeze_below_head(network: keras.Model, model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Freeze all layers up to `features`; return the networks below and above that layer.

    The lower one goes from raw pixels to features and stays as it is, batch norms in inference
    mode. Only the upper one, from features to logits, is trained.
    """
    names = [layer.name for layer in model.layers]
    for layer in model.layers[: names.index("features") + 1]:
        layer.trainable = False
    features = model.get_layer("features").output
    below, above = keras.Model(model.inputs, features), keras.Model(features, model.output)
    images = keras.Input(IMAGE_SHAPE, dtype="uint8")
    normalised = network.get_layer("normalisation")(images)
    return keras.Model(images, below(normalised, training=False)), above


def main() -> None:
    """Train the network, save it, and say how good it is."""
    if keras.backend.backend() != "tensorflow":
        raise SystemExit("this needs Keras on TensorFlow: KERAS_BACKEND=tensorflow")
    keras.config.set_floatx("float32")  # whatever ~/.keras/keras.json says
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    # The same seed gives the same weights, bit for bit, if every operation is deterministic.
    tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()  # names of layers, and so seeds, begin from the same numbers
    if THREADS:
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    if PRECISION != "float32":
        keras.config.set_dtype_policy(PRECISION)
    data = load_data()
    images, labels = data["train"]
    keras.utils.set_random_seed(SEED)
    network, model = build_network(images)
    predict = compile_prediction(network)
    if IS_FROZEN:
        below, model = freeze_below_head(network, model)
    if CACHES_FEATURES:
        # Nothing changes the images: so their features, which nothing changes either, are computed
        # once, and only what is above them is trained and validated.
        predict_features, predict_above = compile_prediction(below), compile_prediction(model)
        images = predict_outputs(predict_features, images)
        if HAS_VALID:
            valid_images, valid_labels = data["valid"]
            valid_data = predict_outputs(predict_features, valid_images), valid_labels

    rate = LearningRate()
    optimizer = build_optimizer(model, rate)
    optimizer.build(model.trainable_variables)
    if EMA_DECAY:
        average = WeightAverage(network, EMA_DECAY)  # of the weights: it is validated and kept

    @tf.function(autograph=False)
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Change the weights by one step; return what was minimised, cross-entropy, accuracy."""
        with tf.GradientTape() as tape:
            if CACHES_FEATURES:
                inputs = images
            elif IS_FROZEN:
                inputs = below(images, training=False)
            else:
                inputs = network.get_layer("normalisation")(images)
            logits = model(inputs, training=True)
            cross_entropy = compute_cross_entropy(labels, logits)
            if CHANGES_LOSS:
                losses = build_loss(LABEL_SMOOTHING, FOCAL_GAMMA, None, None)(labels, logits)
            else:
                losses = cross_entropy
            objective = sum(model.losses, ops.mean(losses)) if HAS_PENALTY else ops.mean(losses)
        gradients = tape.gradient(objective, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        if EMA_DECAY:
            average.update()
        if SOFT_LABELS:
            labels = ops.argmax(labels, axis=-1)
        if ONE_LOGIT:
            logits = expand_single_logit(logits)
        hits = ops.cast(ops.argmax(logits, axis=-1) == ops.cast(labels, "int32"), "float32")
        return ops.stack([objective, ops.mean(cross_entropy), ops.mean(hits)])

    plateau = Plateau()
    if HAS_VALID:
        best = (-float("inf"),)  # what the best epoch has reached
    best_to_wait_for = -float("inf")
    waited = 0
    measured = []  # of each step of an epoch
    for step in range(TOTAL_STEPS):
        measured.append(train_step(*make_batch(images, labels, step)))
        if (step + 1) % STEPS_PER_EPOCH and step + 1 < TOTAL_STEPS:
            continue
        epoch = step // STEPS_PER_EPOCH + 1
        _, loss, accuracy = np.mean(measured, axis=0)
        measured = []
        print(f"epoch {epoch}: training loss {loss:.4f}, accuracy {accuracy:.4f}")
        with average.swapped_in() if EMA_DECAY else contextlib.nullcontext():
            if HAS_VALID:
                if CACHES_FEATURES:
                    valid = evaluate_network(predict_above, *valid_data)
                else:
                    valid = evaluate_network(predict, *data["valid"])
                print(f"  validation loss {valid['loss']:.4f}, accuracy {valid['accuracy']:.4f}")
                if MONITOR == "valid.accuracy":
                    score = (valid["accuracy"], -valid["loss"])  # the loss decides between equals
                else:
                    score = (-valid["loss"],)  # type: ignore[assignment]
                if score > best:
                    best, best_epoch = score, epoch  # type: ignore[assignment]
                    network.save("best.keras")
            else:
                best_epoch = epoch
                network.save("best.keras")  # without validation the last epoch is the best
        if PLATEAU_PATIENCE and plateau.should_reduce(valid["loss"]):
            rate.factor.assign(rate.factor * PLATEAU_FACTOR)
        if STOP_PATIENCE:
            is_better = score[0] > best_to_wait_for + STOP_MIN_DELTA
            best_to_wait_for = score[0] if is_better else best_to_wait_for
            waited = 0 if is_better else waited + 1
            if waited == STOP_PATIENCE:
                break

    network.save("final.keras")
    digest = compute_weights_digest(weight.numpy() for weight in network.weights)
    print("test, last epoch:", evaluate_network(predict, *data["test"]))
    if EMA_DECAY:
        with average.swapped_in():
            network.save("ema.keras")
            print("test, average:", evaluate_network(predict, *data["test"]))
    network.load_weights("best.keras")
    print(f"test, best epoch ({best_epoch}):", evaluate_network(predict, *data["test"]))
    if digest == RUN_DIGEST:
        print("The last weights are those of the run, bit for bit.")
    else:
        print("The last weights are not those of the run: other data, versions or processor?")
