"""Fine-tuning: which layers train, which stay, and that features computed once change nothing."""

import keras
import numpy as np
import pytest

from cnntrain.errors import SpecError
from cnntrain.training.networks.build import find_freeze_boundary, freeze_layers_except
from cnntrain.training.phases import build_rate, count_phase_steps
from helpers.run_files import read_rows

SHORT = ("epochs=4", "dataset.limit=128", "batch_size=32")
NET = ("model=cnn_cifar", "model.filters=[4,8]", "model.hidden=16", "model.batch_norm=true")


def body(spec, *words):
    keras.utils.clear_session()
    return spec(*words).model((32, 32, 1), 10)


def phases(spec, *words):
    network = body(spec, *words)
    return network, spec(*words).finetune(network)


def trained_weights(run, name="final.keras"):
    """Return the arrays of a network by their paths below its model."""
    network = keras.models.load_model(run.folder / name).layers[-1]
    return {v.path: v.numpy() for v in network.variables if "seed" not in v.path}


@pytest.fixture(scope="module")
def train_here(train_in, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("finetune"))


@pytest.fixture(scope="module")
def base(train_here):
    """The run whose weights the others begin with."""
    return train_here(*NET, *SHORT, name="base")[0]


@pytest.fixture(scope="module")
def headed(train_here, base):
    """A new head, trained above features that were computed once: (Run, report)."""
    words = ("finetune=head", f"init_from={base.folder}")
    return train_here(*NET, *SHORT, *words, name="headed")


def test_head_is_the_last_layer_or_what_follows_the_features(spec):
    network, (phase,) = phases(spec, *NET, "finetune=head")
    assert phase.layers == {network.output_names[0]}
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="base")(inputs)
    x = keras.layers.Identity(name="features")(x)
    x = keras.layers.Dense(3, name="hidden")(x)
    marked = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    assert spec("finetune=head").finetune(marked)[0].layers == {"hidden", "logits"}


def test_head_from_a_layer_on(spec):
    _, (phase,) = phases(spec, "model=vgg11", "finetune=head", "finetune.from_layer=fc1")
    assert {"fc1", "fc2", "predictions"} <= phase.layers
    assert "block5_conv2" not in phase.layers


def test_layer_that_does_not_exist_is_answered_with_the_nearest(spec):
    with pytest.raises(SpecError, match="no such layer") as answer:
        phases(spec, "model=vgg11", "finetune=head", "finetune.from_layer=block5_conv3")
    assert answer.value.hint.startswith("finetune.from_layer=block5_conv")


def test_layer_above_all_weights_is_refused(spec):
    inputs = keras.Input((4,))
    last = keras.layers.ReLU(name="last")
    network = keras.Model(inputs, last(keras.layers.Dense(2)(inputs)))
    with pytest.raises(SpecError, match="that trains has weights"):
        spec("finetune=head", "finetune.from_layer=last").finetune(network)


def test_batchnorm_needs_a_batch_norm(spec):
    with pytest.raises(SpecError, match="no batch norm"):
        phases(spec, "finetune=batchnorm")


def test_rates_fall_with_each_kernel_below_the_head(spec):
    _, (phase,) = phases(spec, *NET, "finetune=layer_wise", "finetune.decay=0.5")
    assert phase.rates == {
        "dense_1": 1, "dense": 0.5, "batch_normalization_1": 0.25, "conv2d_1": 0.25,
        "batch_normalization": 0.125, "conv2d": 0.125,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("model=lenet5",), "flatten"),
        (("model=vgg11", "finetune.from_layer=block5_conv1"), "block4_pool"),
        (("model=vgg11",), "fc2"),  # the dropout above fc2 belongs to what trains
        (("model=resnet20_v1", "model.depth=8"), "global_average_pooling2d"),
    ],
)
def test_freeze_boundary_is_right_below_what_trains(spec, words, expected):
    network, (phase,) = phases(spec, "finetune=head", *words)
    freeze_layers_except(network, phase.layers)
    below = {"flatten": network.layers[-2].name}.get(expected, expected)
    assert find_freeze_boundary(network) is network.get_layer(below).output


def test_no_freeze_boundary_if_branches_cross_it_or_nothing_is_frozen(spec):
    network = body(spec, "model=resnet20_v1", "model.depth=8")
    assert find_freeze_boundary(network) is None
    names = [layer.name for layer in network.layers]
    freeze_layers_except(network, frozenset(names[names.index("conv2d_5") :]))
    assert find_freeze_boundary(network) is None


def test_phases_share_the_steps(spec):
    _, two = phases(spec, "finetune=two_phase", "finetune.head_epochs=3", "epochs=10")
    assert count_phase_steps(two, 7, 70) == [21, 49]
    assert count_phase_steps(two, 7, 20) == [20, 0]


def moved_layers(base, run):
    """The layers any weight of which is no longer what it was in the best network of `base`."""
    before, after = trained_weights(base, "best.keras"), trained_weights(run)
    moved = {path for path in before if not np.array_equal(before[path], after[path])}
    return {path.partition("/")[0] for path in moved}


def test_frozen_layers_stay_bit_for_bit_and_in_inference(base, headed):
    run, report = headed
    assert moved_layers(base, run) == {"dense_1"}
    assert report["parameters"]["trainable"] == 16 * 10 + 10


@pytest.mark.slow
def test_frozen_layers_stay_where_images_are_moved(train, base):
    words = ("finetune=head", f"init_from={base.folder}", "augmentation=shift_flip")
    assert moved_layers(base, train(*NET, *SHORT, *words)[0]) == {"dense_1"}


def test_features_computed_once_give_the_same_training(train, base, headed):
    once, report = headed
    words = ("finetune=head", f"init_from={base.folder}", "finetune.cache=false")
    each, again = train(*NET, *SHORT, *words)
    ours, theirs = trained_weights(once), trained_weights(each)
    assert all(np.allclose(ours[path], theirs[path], atol=1e-5) for path in ours)
    assert report["valid"]["final"]["loss"] == pytest.approx(again["valid"]["final"]["loss"], 1e-4)


def test_batchnorm_trains_norms_and_head_only(train, base):
    run, _ = train(*NET, *SHORT, "finetune=batchnorm", f"init_from={base.folder}")
    assert moved_layers(base, run) == {"batch_normalization", "batch_normalization_1", "dense_1"}


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_norms_of_the_base_train_in_the_second_phase_only_if_asked(train, batch_norm):
    words = (*NET, *SHORT, "finetune=two_phase", "finetune.head_epochs=1")
    run, _ = train(*words, f"finetune.batch_norm={batch_norm}".lower())
    means = [v for path, v in trained_weights(run).items() if "moving_mean" in path]
    assert all(mean.any() == batch_norm for mean in means)
    kernels, first = trained_weights(run), train(*NET, *SHORT, "epochs=1", name="first")[0]
    assert not np.array_equal(kernels["conv2d/kernel"], trained_weights(first)["conv2d/kernel"])


XCEPTION = (
    "finetune=two_phase", "finetune.head_epochs=2", "epochs=4", "optimizer=sgd",
    "optimizer.learning_rate=0.2", "schedule=inverse_time", "finetune.learning_rate=0.01",
    "finetune.schedule={name: inverse_time, decay: 0.001}", "finetune.batch_norm=true",
)  # fmt: skip


def test_second_phase_has_its_own_schedule_and_knobs_left_out_are_those_of_the_option(spec):
    checked = spec(*XCEPTION)
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(3, name="base")(inputs))
    two = checked.finetune(keras.Model(inputs, keras.layers.Dense(2, name="head")(x)))
    step = np.array([0, 50, 99])
    first, second = (np.asarray(build_rate(checked, phase, 50, 100)(step)) for phase in two)
    assert first == pytest.approx(0.2 / (1 + 0.01 * step))
    assert second == pytest.approx(0.01 / (1 + 0.001 * step))
    assert two[0].layers == {"head"}
    assert {"base", "norm", "head"} <= two[1].layers
    assert checked.finetune["schedule"]["plateau"]["patience"] is None
    plain = spec("finetune=two_phase")
    assert plain.finetune["schedule"] is None
    assert "finetune.schedule" not in plain.deciding_values
    assert checked.deciding_values["finetune.schedule.decay"] == 0.001
    step_down = spec("finetune=two_phase", "finetune.schedule=plateau").finetune["schedule"]
    assert (step_down.name, step_down["plateau"]["patience"]) == ("constant", 5)


@pytest.mark.parametrize(
    ("word", "given"),
    [
        ("finetune.schedule=sine", "finetune.schedule.name is sine"),
        ("finetune.schedule={name: step, decay: 1}", "finetune.schedule.decay is not a setting"),
        (
            "finetune.schedule={name: resnet_step, factors: [1]}",
            "schedule.after_epochs has 4 numb",
        ),
    ],
)
def test_schedule_that_does_not_exist_is_refused(spec, word, given):
    with pytest.raises(SpecError, match=given):
        spec("finetune=two_phase", word)


def test_two_phases_are_one_history_with_a_rate_and_patience_each(train):
    said = []
    run, report = train(
        *NET, "epochs=9", *SHORT[1:], "schedule=constant", "finetune=two_phase",
        "finetune.head_epochs=5", "finetune.learning_rate=1e-10", "optimizer.learning_rate=1e-9",
        "early_stopping.patience=1", said=said,
    )  # fmt: skip
    history = read_rows(run)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]  # two epochs of each phase
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-9] * 2 + [1e-10] * 2)
    assert (report["epochs"], report["steps"]) == (4, 16)
    assert any("freezes layers with random weights" in line for line in said)
