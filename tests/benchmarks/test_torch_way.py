"""The networks in PyTorch are ours: they have as many parameters, and train."""

import pytest

pytest.importorskip("torch")

from cnntrain.benchmarks.request import CASES
from cnntrain.benchmarks.torch_way import build_torch_network, prepare_torch_epoch
from cnntrain.benchmarks.training_ways import make_random_splits
from cnntrain.training.networks.build import build_empty_network, count_parameters


@pytest.mark.parametrize("model", CASES)
def test_networks_have_as_many_parameters_as_ours(spec, model):
    shape = CASES[model].image_shape
    ours = build_empty_network(spec(f"model={model}", *CASES[model].overrides), shape, 10)
    theirs = build_torch_network(model, shape[:2], shape[2], 10)
    count = sum(parameter.numel() for parameter in theirs.parameters())
    assert count == count_parameters(ours)["trainable"]


@pytest.mark.parametrize("model", ["lenet5", "resnet20_v1"])
def test_an_epoch_trains(spec, model):
    splits = make_random_splits(CASES[model].image_shape, 16, 8)
    train_epoch = prepare_torch_epoch(model, spec(f"model={model}", "batch_size=8"), splits)
    losses = [train_epoch() for _ in range(3)]
    assert all(0 < loss < 10 for loss in losses)
    assert len(set(losses)) == 3
