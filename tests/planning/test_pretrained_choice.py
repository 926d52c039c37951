"""Which published weights `fit` takes, and where it looks for them."""

import pytest
import requests

from cnntrain.errors import SpecError
from cnntrain.planning import pretrained_choice
from cnntrain.planning.pretrained_choice import CANDIDATES, can_fetch, choose_pretrained


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty folders as weights_dir and Keras' cache, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(pretrained_choice, "can_fetch", lambda url: False)
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "dir").mkdir()
    return tmp_path / "dir", tmp_path / "keras" / "models"


def test_nothing_is_chosen_where_nothing_is(places):
    assert choose_pretrained({}) is None
    assert choose_pretrained({}, str(places[0])) is None


def test_the_first_candidate_whose_file_is_here_is_taken(places):
    folder, cache = places
    for candidate in reversed(CANDIDATES):
        (cache / candidate.file).touch()
        assert choose_pretrained({}).network == candidate
    for file in cache.iterdir():
        file.unlink()
    (folder / CANDIDATES[1].file.replace(".h5", ".weights.h5")).touch()
    choice = choose_pretrained({}, str(folder))
    assert choice.network == CANDIDATES[1]
    assert str(folder) in choice.where


def test_a_folder_that_is_not_there_is_answered(places):
    with pytest.raises(SpecError, match="nowhere, which is no folder that is there"):
        choose_pretrained({}, str(places[0] / "nowhere"))


def test_a_model_and_a_width_of_the_user_stay(places):
    for candidate in CANDIDATES:
        (places[1] / candidate.file).touch()
    assert choose_pretrained({"model.alpha": "0.25"}).network.alpha == 0.25
    assert choose_pretrained({"model": "mobilenet_v2"}).network.option == "mobilenet_v2"
    assert choose_pretrained({"model": "vgg16"}) is None


def test_with_a_network_mobilenet_is_fetched(places, monkeypatch):
    asked = []
    monkeypatch.setattr(pretrained_choice, "can_fetch", lambda url: asked.append(url) or True)
    assert choose_pretrained({}).network == CANDIDATES[0]
    assert asked == [f"{pretrained_choice.KERAS_FILES}/mobilenet/{CANDIDATES[0].file}"]
    assert choose_pretrained({"model": "vgg16"}) is None


def test_without_a_network_nothing_can_be_fetched(monkeypatch):
    def refuse(*_, **__):
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", refuse)
    assert not can_fetch("https://example.org/file.h5")


class Asked(Exception):
    pass


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.file)
def test_file_names_are_those_that_keras_asks_for(candidate, spec, monkeypatch):
    from cnntrain.models.parts import pretrained

    asked = []

    def find(name, weights_dir):
        asked.append(name)
        raise Asked

    monkeypatch.setattr(pretrained, "find_official_file", find)
    words = [f"model={candidate.option}", "model.weights=imagenet"]
    if candidate.alpha != 1:
        words.append(f"model.alpha={candidate.alpha}")
    with pytest.raises(Asked):
        spec(*words).model((224, 224, 3), 2)
    assert asked == [candidate.file]
