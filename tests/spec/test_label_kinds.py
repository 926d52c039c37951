"""Settings that mean something for one label an image, or for several, and no other."""

import pytest

from cnntrain.analysis.label_scores import LABEL_METRICS
from cnntrain.errors import SpecError
from cnntrain.spec import places
from cnntrain.spec.compose import compose_config
from cnntrain.spec.contradictions import check_label_kind
from cnntrain.spec.metrics import MONITORS, SEVERAL_LABELS_MONITORS, choose_tie_breaker
from cnntrain.spec.signatures import build_component, find_companion
from cnntrain.training.metrics import METRICS


@pytest.mark.parametrize(
    ("monitors", "metrics", "hits"),
    [(MONITORS, METRICS, "accuracy"), (SEVERAL_LABELS_MONITORS, LABEL_METRICS, "exact_match")],
)
def test_monitors_are_what_is_measured(spec, monitors, metrics, hits):
    measured = {f"valid.{name}" for name in metrics} | {"train.loss", f"train.{hits}"}
    assert {*monitors} == measured
    for name in monitors:
        assert spec(f"monitor={name}").monitor == name
        assert choose_tie_breaker(name) in measured


@pytest.mark.parametrize(
    ("monitor", "several"),
    [("valid.mean_average_precision", False), ("train.exact_match", False),
     ("valid.accuracy", True), ("train.accuracy", True)],
)  # fmt: skip
def test_monitor_of_the_other_kind_is_refused(spec, monitor, several):
    with pytest.raises(SpecError, match=f"monitor is {monitor}") as error:
        check_label_kind(spec(f"monitor={monitor}"), several)
    check_label_kind(spec(error.value.hint), several)


def test_sampling_by_class_needs_one_label(spec):
    asked = spec("dataset.sampling=balanced", "monitor=valid.loss")
    check_label_kind(asked, several=False)
    with pytest.raises(SpecError, match="sampling is balanced and images may") as error:
        check_label_kind(asked, several=True)
    check_label_kind(spec(*error.value.hint.split(), "monitor=valid.loss"), several=True)


def test_auto_is_the_first_monitor_of_the_labels(monkeypatch):
    assert compose_config(["monitor=auto"]).config["monitor"] == "valid.accuracy"
    asked = []

    def peek(*folders):
        asked.append(folders)
        return True

    monkeypatch.setattr(places, "find_companion", lambda component, name: peek)
    config = compose_config(["manual_dir=/a", "data_dir=/b"]).config
    assert config["monitor"] == "valid.mean_average_precision"
    assert [[str(folder) for folder in folders] for folders in asked] == [["/b", "/a"]]
    named = compose_config(["monitor=valid.accuracy"]).config
    assert named["monitor"] == "valid.accuracy"


def test_labels_that_cannot_be_looked_at_are_explained_by_who_loads_them(monkeypatch):
    def fail(*folders):
        raise SpecError("it is not there", "a table")

    monkeypatch.setattr(places, "find_companion", lambda component, name: fail)
    config = compose_config([]).config
    assert config["monitor"] == "valid.accuracy"
    assert places.peek_several_labels(config) is None
    assert places.peek_several_labels({"dataset": {"name": "no such"}}) is None
    assert places.peek_several_labels({}) is None


def test_companion_is_found_by_its_name_with_the_knobs_of_its_component():
    cutout = build_component("augmentation", compose_config(["augmentation=cutout"]).config[
        "augmentation"
    ])  # fmt: skip
    assert find_companion(cutout, "no_such_function") is None
    assert find_companion(cutout, "on_device").keywords == cutout.knobs
