"""The optimizers, each with L1, L2, decoupled weight decay and three ways to clip gradients.

`l1` and `l2` are terms of the loss, as in Keras: l1 * sum|w| + l2 * sum(w^2). `weight_decay`
is decoupled: w shrinks by rate * weight_decay each step (Loshchilov & Hutter 2017,
arXiv:1711.05101). Biases and norm parameters have neither.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from cnntrain.spec.knobs import Count, Factor, NonNegative, Positive, Probability
from cnntrain.training.networks.build import is_kernel
from cnntrain.training.schedules import Rate

# A quintic whose slope at zero is as large as can be: singular values end between 0.7 and 1.2, not
# at 1, which trains as well (https://kellerjordan.github.io/posts/muon).
QUINTIC = (3.4445, -4.7750, 2.0315)


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


def muon(
    rate: Rate,
    *,
    kernel_momentum: Probability,
    iterations: Count,
    normalise: bool,
    sgd_factor: Positive,
    sgd_momentum: Factor,
) -> keras.optimizers.Optimizer:
    """Return Muon for convolution kernels and SGD for all else (Jordan et al. 2024): see `Muon`."""
    return Muon(rate, kernel_momentum, iterations, normalise, sgd_factor, sgd_momentum)


class Muon(keras.optimizers.SGD):
    """Muon for convolution kernels, and SGD with Nesterov momentum for everything else.

    A kernel (h, w, in, out) counts as a matrix (out, h * w * in). Its gradients with momentum are
    made nearly orthogonal by `iterations` of Newton and Schulz. With `normalise` a kernel is first
    scaled to the norm sqrt(out), which changes no output where batch normalisation follows. All
    else, depthwise kernels too, has `sgd_factor` times the learning rate, and the momentum
    `sgd_momentum`.
    """

    def __init__(
        self,
        learning_rate: Any,
        kernel_momentum: float,
        iterations: int,
        normalise: bool,
        sgd_factor: float,
        sgd_momentum: float,
    ):
        super().__init__(learning_rate, momentum=sgd_momentum, nesterov=True, name="muon")
        self.kernel_momentum, self.newton_schulz_iterations = kernel_momentum, iterations
        self.normalise, self.sgd_factor = normalise, sgd_factor

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Change a variable by one step, given its gradient."""
        if len(variable.shape) != 4 or variable.shape[-1] == 1:  # a depthwise kernel is no matrix
            super().update_step(gradient, variable, self.sgd_factor * learning_rate)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.kernel_momentum * velocity + gradient)
        looked_ahead = gradient + self.kernel_momentum * velocity
        filters = variable.shape[-1]
        matrix = ops.transpose(ops.reshape(looked_ahead, (-1, filters)))
        update = _orthogonalise_matrix(matrix, self.newton_schulz_iterations)
        update = ops.reshape(ops.transpose(update), variable.shape)
        kernel = ops.convert_to_tensor(variable)
        if self.normalise:
            kernel = kernel * (filters**0.5 / _compute_norm(kernel))
        self.assign(variable, kernel - learning_rate * update)


def _orthogonalise_matrix(matrix: Any, iterations: int) -> Any:
    """Return a matrix (m, n) with the singular vectors of `matrix` and singular values near 1."""
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix
    x = x / _compute_norm(x)  # singular values of at most 1
    for _ in range(iterations):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.transpose(x) if tall else x


def _compute_norm(x: Any) -> Any:
    """Return the square root of the sum of all squares, never 0."""
    return ops.sqrt(ops.sum(ops.square(x))) + 1e-7
