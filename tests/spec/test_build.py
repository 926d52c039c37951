"""The spec: frozen, hashed by what decides the numbers, described by signatures alone."""

import dataclasses
import subprocess
import sys

import pytest

from cnntrain.spec import signatures
from cnntrain.spec.overrides import parse_override, quote_literal


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


OPS = (
    "augmentation=compose",
    "augmentation.ops=[{name: flip_crop, pad: 2}, {name: cutout, fill: 0}]",
)


def test_hash_changes_with_any_knob_of_a_nested_component(spec):
    base = spec(*OPS)
    others = [spec(*OPS, f"augmentation.ops.{knob}") for knob in ("0.pad=3", "1.fill=5")]
    swapped = spec(OPS[0], "augmentation.ops=[{name: cutout, fill: 0}, {name: flip_crop, pad: 2}]")
    assert len({checked.hash for checked in (base, *others, swapped)}) == 4
    assert spec(*OPS).hash == base.hash


def test_nested_component_takes_missing_knobs_from_its_option(spec):
    flip_crop, cutout = spec(*OPS).augmentation["ops"]
    assert (flip_crop["pad"], flip_crop["flip"]) == (2, 0.5)
    assert cutout.knobs == spec("augmentation=cutout", "augmentation.fill=0").augmentation.knobs
    inner = spec(OPS[0], "augmentation.ops=[{name: compose, ops: [{name: flip_crop, pad: 2}]}]")
    assert inner.augmentation["ops"][0]["ops"] == (flip_crop,)


def test_config_holds_every_knob_of_a_nested_component(spec):
    """spec.yaml holds them too, so that a later change of an option changes no resumed run."""
    checked = spec(*OPS)
    config = checked.config["augmentation"]
    assert config["ops"][1] == {"name": "cutout", **checked.augmentation["ops"][1].knobs}
    assert signatures.build_component("augmentation", config) == checked.augmentation


def test_defaults_are_the_documented_ones(spec):
    checked = spec()
    assert (checked.model.name, checked.dataset.name) == ("lenet5", "digits")
    assert (checked.batch_size, checked.epochs) == (128, 20)
    assert (checked.optimizer.name, checked.optimizer["learning_rate"]) == ("adam", 1e-3)
    assert (checked.schedule.name, checked.schedule["warmup"]) == ("cosine", "5%")  # 1 of 20
    assert (checked.initializer.name, checked.augmentation.name) == ("he_normal", "none")


def test_signatures_are_read_without_importing_the_components():
    code = (
        "import sys, cnntrain.spec.signatures as c\n"
        "[c.read_component_knobs(g, n) for g in c.GROUPS for n in c.list_components(g)]\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_records_reach_their_component_as_their_class(spec):
    rate = spec("schedule=plateau").schedule(1.0, 10, 100)
    assert rate.plateau.patience == 5


def test_config_dir_adds_an_option(tmp_path):
    from cnntrain.spec.build import build_spec as check
    from cnntrain.spec.compose import compose_config

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "homemade.yaml").write_text(
        "# Mine.\nname: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    )
    checked = check(compose_config(["model=homemade"], str(tmp_path)).config)
    assert checked.model["filters"] == (2, 3)


@pytest.mark.parametrize("own", ["", "l1: 0\nl2: 1e-4\nclip_norm: 1\n"])
def test_option_of_a_user_states_knobs_of_its_group_or_leaves_them_out(tmp_path, own):
    from cnntrain.spec.build import build_spec as check
    from cnntrain.spec.compose import compose_config

    (tmp_path / "optimizer").mkdir()
    knobs = "name: sgd\nlearning_rate: 1\nmomentum: 0\nnesterov: false\n"
    (tmp_path / "optimizer" / "homemade.yaml").write_text(f"# Mine.\n{knobs}{own}")
    words = ["optimizer=homemade", "optimizer.weight_decay=0.1"]
    optimizer = check(compose_config(words, str(tmp_path)).config).optimizer
    assert (optimizer["l2"], optimizer["clip_norm"]) == ((1e-4, 1) if own else (0, None))
    assert (optimizer["l1"], optimizer["weight_decay"]) == (0, 0.1)


def test_nested_component_may_be_an_option_of_the_user(tmp_path):
    from cnntrain.spec.build import build_spec as check
    from cnntrain.spec.compose import compose_config

    (tmp_path / "augmentation").mkdir()
    (tmp_path / "augmentation" / "mild.yaml").write_text("name: cutout\nsize: 2\nfill: 0\n")
    words = ["augmentation=compose", "augmentation.ops=[{name: mild, fill: 9}]"]
    (op,) = check(compose_config(words, str(tmp_path)).config).augmentation["ops"]
    assert (op.name, op["size"], op["fill"]) == ("cutout", 2, 9)


@pytest.mark.parametrize(
    "text", ["it's é", "a b", "back\\slash'", "end\\", "'", 'say "so"', "a,b=[c]{d}"]
)
def test_a_quoted_text_is_read_back_as_it_was(text):
    """A folder may have any name, and a sweep passes it to its jobs in quotes."""
    assert parse_override(f"hydra.run.dir={quote_literal(text)}").value() == text
