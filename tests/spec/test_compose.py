"""Composing in a program that has other uses for Hydra, and for threads."""

from concurrent.futures import ThreadPoolExecutor

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from cnntrain.spec.compose import compose_config


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
