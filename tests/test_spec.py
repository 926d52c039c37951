"""The spec: frozen, hashed by what decides the numbers, described by signatures alone."""

import dataclasses
import subprocess
import sys

import pytest

from cnntrain import components


def test_spec_cannot_be_changed(spec):
    checked = spec()
    with pytest.raises(dataclasses.FrozenInstanceError):
        checked.epochs = 3
    with pytest.raises(TypeError):
        checked.model.knobs["filters"] = (1, 2)


def test_hash_changes_with_what_decides_the_numbers(spec):
    base = spec().hash
    assert spec("seed=1").hash != base
    assert spec("model.filters=[6,17]").hash != base
    assert spec("schedule.warmup=10%").hash != base


def test_hash_does_not_change_with_places_and_logging(spec):
    base = spec().hash
    assert spec("data_dir=/elsewhere", "log_every=1", "manual_dir=/x").hash == base
    assert spec("model=mobilenet", "weights_dir=/x").hash == spec("model=mobilenet").hash


def test_defaults_are_the_ones_that_are_promised(spec):
    checked = spec()
    assert (checked.model.name, checked.dataset.name) == ("lenet5", "digits")
    assert (checked.batch_size, checked.epochs) == (128, 20)
    assert (checked.optimizer.name, checked.optimizer["learning_rate"]) == ("adam", 1e-3)
    assert (checked.schedule.name, checked.schedule["warmup"]) == ("cosine", "5%")  # 1 of 20
    assert (checked.initializer.name, checked.augmentation.name) == ("he_normal", "none")


def test_signatures_are_read_without_importing_the_components():
    code = (
        "import sys, cnntrain.components as c\n"
        "[c.knobs_of(g, n) for g in c.GROUPS for n in c.names(g)]\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_variants_of_a_module_are_the_choices_of_its_knob():
    from cnntrain.models.vgg import VARIANTS

    assert components.knobs_of("model", "vgg")["variant"].__args__ == tuple(VARIANTS)


def test_records_reach_their_component_as_their_class(spec):
    rate = spec("schedule=plateau").schedule(10, 100)
    assert rate.plateau.patience == 5


def test_config_dir_adds_an_option(tmp_path):
    from cnntrain.compose import compose
    from cnntrain.spec import spec as check

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(
        "# Mine.\nname: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    )
    checked = check(compose(["model=mine"], str(tmp_path)).config)
    assert checked.model["filters"] == (2, 3)
