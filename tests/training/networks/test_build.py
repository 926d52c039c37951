"""A network that no memory holds is refused before any of it is made."""

import pytest

from cnntrain.errors import SpecError
from helpers.run_files import SHORT, are_equal

HUGE = {
    "model=lenet5": "model.filters=[2147483647,2147483647]",
    "model=mlp_256_128": "model.hidden=[2147483647,2147483647]",
    "model=vgg16": "model.hidden=2147483647",
}


@pytest.mark.parametrize(("option", "knob"), HUGE.items(), ids=HUGE)
def test_network_larger_than_the_memory_is_refused(spec, option, knob):
    from cnntrain.training.networks.build import build_empty_network, check_network_memory

    body = build_empty_network(spec(option, knob), (32, 32, 1), 10)
    with pytest.raises(SpecError) as refused:
        check_network_memory(body)
    assert "parameters take" in refused.value.given
    assert "cnntrain plan" in refused.value.expected


def test_network_of_an_ordinary_size_is_not_refused(spec):
    from cnntrain.training.networks.build import build_empty_network, check_network_memory

    body = build_empty_network(spec("model=lenet5"), (32, 32, 1), 10)
    check_network_memory(body)
    assert body.count_params() == 61_706


def test_network_is_the_same_whatever_was_drawn_before(spec, tmp_path):
    import random

    from cnntrain.training.networks.build import build_network

    checked = spec("model=cnn_cifar", *SHORT)
    splits = checked.dataset(tmp_path, None)
    first = [v.numpy() for v in build_network(checked, splits, 10).variables]
    random.random()  # preparing a data set draws numbers too
    second = [v.numpy() for v in build_network(checked, splits, 10).variables]
    assert are_equal(first, second)


@pytest.mark.parametrize(("steps", "momentum"), [(10, 0.5), (100, 0.9), (10_000, 0.99)])
def test_batch_norm_remembers_as_long_as_fits_the_run(spec, steps, momentum):
    import keras

    from cnntrain.training.networks.build import set_batch_norm_momentum

    model = spec("model=mlp_bn").model((8, 8, 1), 10)
    set_batch_norm_momentum(model, "auto", steps)
    norms = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert [norm.momentum for norm in norms] == [pytest.approx(momentum)] * 3
    set_batch_norm_momentum(model, 0.7, steps)
    assert norms[0].momentum == 0.7


def test_network_that_is_divided_computes_the_same(spec, tmp_path):
    import keras
    import numpy as np

    from cnntrain.training.networks import build

    checked = spec("model=cnn_cifar", "model.filters=[4,8]", "model.batch_norm=true", *SHORT)
    splits = checked.dataset(tmp_path, None)
    built = build.build_network(checked, splits, 10)
    tensor = next(la for la in built.model.layers if isinstance(la, keras.layers.Flatten)).output
    below, above = build.split_network(built, tensor)
    images = splits.train.images[:8]
    assert np.array_equal(above(below(images)), built.network(images))
    assert below.output_shape == tuple(tensor.shape)
    total = build.count_parameters(built.network)["total"]
    assert total == sum(build.count_parameters(part)["total"] for part in (below, above))


@pytest.mark.parametrize(
    "normalisation", ["standardise", "rescale", "pixel_mean", "mean_rgb", "none"]
)
def test_normalisation_is_within_the_network_and_its_constants_make_it_again(
    spec, tmp_path, normalisation
):
    import numpy as np

    from cnntrain.training.networks import build

    checked = spec(f"normalisation={normalisation}", "model=mlp_300_100", *SHORT)
    splits = checked.dataset(tmp_path, None)
    first = build.build_network(checked, splits, 10).network
    constants = build.get_normalisation_constants(first)
    again = build.build_network(checked, splits, 10, constants=constants).network
    images = splits.train.images
    seen = np.asarray(first.get_layer("normalisation")(images))
    expected = images * np.asarray(constants["scale"]) + constants["offset"]
    assert np.allclose(seen, expected, atol=1e-5)
    assert np.array_equal(first(images[:4]), again(images[:4]))
    if normalisation == "standardise":
        assert (seen.mean(), seen.std()) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))
    if normalisation == "pixel_mean":
        assert seen.mean(axis=0) == pytest.approx(0, abs=1e-3)
