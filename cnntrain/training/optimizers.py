"""The optimizers, each with L1, L2, decoupled weight decay and three ways to clip gradients.

`l1` and `l2` are terms of the loss, as in Keras: l1 * sum|w| + l2 * sum(w^2). `weight_decay`
is decoupled: w shrinks by rate * weight_decay each step (Loshchilov & Hutter 2017,
arXiv:1711.05101). Biases and norm parameters have neither.
"""

from collections.abc import Callable

import keras

from cnntrain.spec.knobs import NonNegative, Positive, Probability
from cnntrain.training.networks.build import is_kernel
from cnntrain.training.schedules import Rate


def optimizer(
    component: Callable[[Rate], keras.optimizers.Optimizer],
    network: keras.Model,
    rate: Rate,
    *,
    learning_rate: Positive,
    bias_rate: Positive,
    l1: NonNegative,
    l2: NonNegative,
    weight_decay: NonNegative,
    clip_value: Positive | None,
    clip_norm: Positive | None,
    global_clip_norm: Positive | None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer, built for the trainable weights of `network`.

    Also gives the kernels of `network` their L1 and L2 penalties. `learning_rate` is the base of
    `rate`, unless a phase has its own; the step multiplies the changes of biases by `bias_rate`.
    Gradients are clipped to +-clip_value, or each variable's to the norm clip_norm, or all together
    to the norm global_clip_norm.
    """
    built = component(rate)
    built.weight_decay = weight_decay or None
    built.clipvalue, built.clipnorm, built.global_clipnorm = clip_value, clip_norm, global_clip_norm
    exempt = [v for v in network.trainable_variables if not is_kernel(v)]
    built.exclude_from_weight_decay(var_list=exempt)
    if l1 or l2:
        for variable in network.trainable_variables:
            variable.regularizer = keras.regularizers.L1L2(l1, l2) if is_kernel(variable) else None
    built.build(network.trainable_variables)
    if keras.backend.backend() == "jax":  # there a step changes, and reads, what it is given
        rate.factor = built.add_variable((), "ones", "float32", name="plateau_factor")
    return built


def sgd(rate: Rate, *, momentum: Probability, nesterov: bool) -> keras.optimizers.Optimizer:
    """Return stochastic gradient descent with classical or Nesterov momentum."""
    return keras.optimizers.SGD(rate, momentum=momentum, nesterov=nesterov)


def adam(
    rate: Rate, *, beta_1: Probability, beta_2: Probability, epsilon: Positive, amsgrad: bool
) -> keras.optimizers.Optimizer:
    """Return Adam (Kingma & Ba 2014, arXiv:1412.6980); with `weight_decay` it is AdamW."""
    return keras.optimizers.Adam(
        rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, amsgrad=amsgrad
    )


def rmsprop(
    rate: Rate, *, rho: Probability, momentum: Probability, epsilon: Positive, centered: bool
) -> keras.optimizers.Optimizer:
    """Return RMSprop (Hinton 2012, lecture 6e)."""
    return keras.optimizers.RMSprop(
        rate, rho=rho, momentum=momentum, epsilon=epsilon, centered=centered
    )


def adagrad(
    rate: Rate, *, initial_accumulator_value: NonNegative, epsilon: Positive
) -> keras.optimizers.Optimizer:
    """Return Adagrad (Duchi et al. 2011)."""
    return keras.optimizers.Adagrad(
        rate, initial_accumulator_value=initial_accumulator_value, epsilon=epsilon
    )


def adadelta(rate: Rate, *, rho: Probability, epsilon: Positive) -> keras.optimizers.Optimizer:
    """Return Adadelta (Zeiler 2012, arXiv:1212.5701)."""
    return keras.optimizers.Adadelta(rate, rho=rho, epsilon=epsilon)
