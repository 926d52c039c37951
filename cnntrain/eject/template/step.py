"""The step: loss, learning rate, optimizer."""

import keras
from keras import ops

from cnntrain.eject.components import compute_curve, make_optimizer
from cnntrain.eject.template.settings import (
    CLIP_NORM,
    CLIP_VALUE,
    GLOBAL_CLIP_NORM,
    L1,
    L2,
    LEARNING_RATE,
    ONE_LOGIT,
    PLATEAU_COOLDOWN,
    PLATEAU_MIN_DELTA,
    PLATEAU_MIN_RATE,
    PLATEAU_PATIENCE,
    SOFT_LABELS,
    STEPS_PER_EPOCH,
    TOTAL_STEPS,
    WARMUP_STEPS,
    WEIGHT_DECAY,
)
from cnntrain.training.losses import expand_single_logit


def compute_cross_entropy(
    labels: keras.KerasTensor, logits: keras.KerasTensor
) -> keras.KerasTensor:
    """Return the cross-entropy (B,) of labels and logits (B, classes), in nats."""
    if ONE_LOGIT:
        logits = expand_single_logit(logits)
    if SOFT_LABELS:
        return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step: the base, times the curve, times what else lowers it."""

    if PLATEAU_PATIENCE or WEIGHT_DECAY:

        def __init__(self) -> None:
            self.factor = keras.Variable(1.0, trainable=False, name="plateau_factor")

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Return the rate of a step, counted from 0, as a scalar."""
        step = ops.minimum(step, TOTAL_STEPS - 1)
        factor = compute_curve(step, STEPS_PER_EPOCH, TOTAL_STEPS)
        rate = LEARNING_RATE * ops.cast(factor, "float32")
        if WARMUP_STEPS:
            rate *= ops.minimum((ops.cast(step, "float32") + 1) / WARMUP_STEPS, 1.0)
        if PLATEAU_PATIENCE or WEIGHT_DECAY:
            # Without a plateau the factor stays 1, and keeps TensorFlow from reordering the product
            # of rate and weight decay, which would round elsewhere.
            lowest = ops.minimum(rate, PLATEAU_MIN_RATE)
            return ops.maximum(rate * self.factor, lowest)
        return rate


class Plateau:
    """Says when the learning rate falls, by the rules of Keras' ReduceLROnPlateau."""

    def __init__(self) -> None:
        self.best, self.waited, self.cooling = float("inf"), 0, 0

    def should_reduce(self, loss: float) -> bool:
        """Take in the validation loss of an epoch; return whether to lower the rate now."""
        if self.cooling:
            self.cooling -= 1
            self.waited = 0
        if loss < self.best - PLATEAU_MIN_DELTA:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.cooling:
            self.waited = 0
        if self.waited < PLATEAU_PATIENCE:
            return False
        self.cooling, self.waited = PLATEAU_COOLDOWN, 0
        return True


def build_optimizer(model: keras.Model, rate: LearningRate) -> keras.optimizers.Optimizer:
    """Return the optimizer of the trainable weights of `model`."""
    optimizer = make_optimizer(rate)
    if WEIGHT_DECAY:
        # Biases, and scale and shift of norms, are vectors, and do not decay.
        vectors = [v for v in model.trainable_variables if len(v.shape) == 1]
        optimizer.weight_decay = WEIGHT_DECAY
        optimizer.exclude_from_weight_decay(var_list=vectors)
    if CLIP_VALUE:
        optimizer.clipvalue = CLIP_VALUE
    if CLIP_NORM:
        optimizer.clipnorm = CLIP_NORM
    if GLOBAL_CLIP_NORM:
        optimizer.global_clipnorm = GLOBAL_CLIP_NORM
    if L1 or L2:
        # Keras adds these to `model.losses`. Biases and norms, which are vectors, have none.
        for variable in model.trainable_variables:
            if len(variable.shape) > 1:
                penalty = keras.regularizers.L1L2(L1, L2) if L1 else keras.regularizers.L2(L2)
                variable.regularizer = penalty
    return optimizer
