"""Composing in a program that has other uses for Hydra, and for threads."""

from concurrent.futures import ThreadPoolExecutor

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from cnntrain.spec.compose import compose_config
from cnntrain.spec.hydra_private import LOADED


def test_hydra_of_a_program_is_left_as_it_was(tmp_path):
    (tmp_path / "own.yaml").write_text("answer: 42\n")
    compose_config([])
    launchers = {*ConfigStore.instance().repo["hydra"]["launcher"]}
    assert "basic.yaml" in launchers
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.2"):
        assert compose_config(["epochs=3"]).config["epochs"] == 3
        assert hydra.compose("own") == {"answer": 42}
        assert hydra.version.getbase() == hydra.version.Version("1.2")
    assert {*ConfigStore.instance().repo["hydra"]["launcher"]} == launchers
    assert not GlobalHydra.instance().is_initialized()


def test_threads_compose_beside_each_other():
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda seed: compose_config([f"seed={seed}"]).config["seed"], range(12))
        assert [*found] == [*range(12)]


def test_what_is_composed_does_not_depend_on_what_was_composed_before():
    words = [
        ["model=vgg16", "model.dropout=0.3"],
        ["experiment=resnet20_v1_cifar10", "epochs=2"],
        ["augmentation=compose", "schedule=plateau", "dataset=digits"],
        ["experiment=cifar10_94_fast", "model=lenet5"],
        ["dataset=tfds", "dataset.tfds=mnist", "finetune=two_phase"],
        ["model=vgg16"],
    ]
    alone = []
    for overrides in words:
        LOADED.clear()
        alone.append(compose_config(overrides))
    for order in (words, words[::-1]):
        after = {str(overrides): compose_config(overrides) for overrides in order}
        for overrides, expected in zip(words, alone, strict=True):
            assert after[str(overrides)].config == expected.config
            assert after[str(overrides)].choices == expected.choices


def test_option_that_is_edited_is_read_again(tmp_path):
    option = tmp_path / "optimizer" / "mine.yaml"
    option.parent.mkdir()
    found = []
    for rate in (0.5, 0.25):
        option.write_text(f"name: adadelta\nlearning_rate: {rate}\nrho: 0.9\nepsilon: 1e-7\n")
        config = compose_config(["optimizer=mine"], str(tmp_path)).config
        found.append(config["optimizer"]["learning_rate"])
    assert found == [0.5, 0.25]
