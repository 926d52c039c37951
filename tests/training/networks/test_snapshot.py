"""A network is saved in the background as it was when the snapshot was taken, as by `save`."""

import functools
import io
import json
import zipfile
from types import SimpleNamespace

import pytest

from cnntrain.runs.directory import Run
from cnntrain.runs.writer import BackgroundWriter

# What could be saved in another way: one layer after the other; batch norm and the seeds of
# dropout; a network in a network; one whose auxiliary heads are cut off; two precisions.
NETWORKS = {
    "lenet5": ["model=lenet5"],
    "cnn_cifar": ["model=cnn_cifar"],
    "mobilenet": ["model=mobilenet", "model.alpha=0.25"],
    "googlenet": ["model=googlenet"],
    "mlp_bn": ["model=mlp_bn", "precision=mixed_bfloat16"],
}


@pytest.fixture
def build(spec):
    """Build the network of a spec for images of a size."""
    from cnntrain.training.networks.build import build_network

    def build(*overrides, side=32):
        splits = SimpleNamespace(image_shape=(side, side, 3), class_names=[*"abc"])
        constants = {"scale": 1 / 255, "offset": 0.0}
        return build_network(spec(*overrides), splits, 100, constants=constants).network

    return build


@pytest.mark.parametrize("overrides", NETWORKS.values(), ids=NETWORKS)
def test_snapshot_is_saved_as_the_network_was(build, tmp_path, overrides):
    from cnntrain.training.networks.snapshot import save_snapshot, take_snapshot

    network = build(*overrides, side=65 if "googlenet" in overrides[0] else 32)
    network.save(tmp_path / "then.keras")
    values = take_snapshot(network.variables)
    now = [change_variable(variable) for variable in network.variables]
    with BackgroundWriter() as writer:
        path = tmp_path / "snapshot.keras"
        writer.submit(functools.partial(save_snapshot, Run(tmp_path), network, values, path))
    assert read_network(path) == read_network(tmp_path / "then.keras")
    assert [variable.numpy().tolist() for variable in network.variables] == now
    assert all(value.flags.owndata for value in values)


def change_variable(variable):
    """Assign other values, as training does; return them."""
    variable.assign(variable + 1)
    return variable.numpy().tolist()


def read_network(path):
    """Return all that a .keras file holds but its date: names, texts, groups and arrays."""
    import h5py

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members.pop("metadata.json")) | {"date_saved": None}
    weights = {}

    def read_entry(name, entry):
        array = (entry.dtype, entry[()].tolist()) if isinstance(entry, h5py.Dataset) else None
        weights[name] = (dict(entry.attrs), array)

    with h5py.File(io.BytesIO(members.pop("model.weights.h5"))) as file:
        file.visititems(read_entry)
    return metadata, members, weights


def test_loaded_snapshot_has_the_weights_and_paths_of_the_network(build, tmp_path):
    import keras

    from cnntrain.training.networks.snapshot import save_snapshot, take_snapshot
    from helpers.run_files import are_equal

    network = build("model=lenet5")
    save_snapshot(Run(tmp_path), network, take_snapshot(network.variables), tmp_path / "a.keras")
    network.save(tmp_path / "b.keras")
    one, other = (keras.models.load_model(tmp_path / f"{name}.keras") for name in "ab")
    assert [v.path for v in one.variables] == [v.path for v in other.variables]
    assert are_equal([v.numpy() for v in one.variables], [v.numpy() for v in network.variables])


def test_values_that_do_not_fit_the_network_are_refused(build, tmp_path):
    from cnntrain.training.networks.snapshot import save_snapshot, take_snapshot

    network = build("model=lenet5")
    values = take_snapshot(network.variables)[1:]
    with pytest.raises(ValueError, match="shorter"):
        save_snapshot(Run(tmp_path), network, values, tmp_path / "a.keras")
    assert [*tmp_path.iterdir()] == []
