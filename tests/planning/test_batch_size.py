"""`batch_size: auto`: a number in the spec, and the weights of that number."""

import json

import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.planning import auto_settings
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.planning.batch_size import MAX_AUTO_BATCH_SIZE
from cnntrain.spec import build
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config

GIB = 2**30


def resolved(*overrides):
    config = compose_config(overrides).config
    return resolve_auto_settings(config, build_provisional_spec(config), None)


@pytest.mark.parametrize(("words", "specs"), [("seed=1", 1), ("batch_size=auto", 2)])
def test_spec_is_built_once_and_for_auto_once_more(monkeypatch, words, specs):
    original, built = build.build_spec, []
    for module in (build, auto_settings):
        monkeypatch.setattr(
            module, "build_spec", lambda config: built.append(1) or original(config)
        )
    resolved(words)
    assert len(built) == specs


def test_auto_is_a_number_in_the_spec():
    number, checked, notes = resolved("batch_size=auto")
    assert number["batch_size"] == checked.batch_size == MAX_AUTO_BATCH_SIZE
    assert "auto" in notes[0]
    assert "512" in notes[0]
    assert resolved("batch_size=48")[2] == []


@pytest.mark.parametrize(
    ("words", "number", "reason"),
    [
        (
            "dataset.limit=100 epochs=2",
            64,
            "64, the largest power of two within 100 training images",
        ),
        ("accumulate=3", 384, "384, the largest of 3 x 2^k within auto's limit of 512"),
        ("steps_per_epoch=5", 256, "within 1,294 training images in 5 steps"),
    ],
)
def test_auto_goes_with_the_other_settings(words, number, reason):
    _, checked, notes = resolved("batch_size=auto", *words.split())
    assert checked.batch_size == number
    assert notes[0].endswith(reason)


@pytest.mark.parametrize(
    ("flags", "precision", "reason"),
    [("avx512_bf16", "mixed_bfloat16", "the CPU has instructions"), ("avx2", "float32", "has no")],
)
def test_precision_is_what_the_processor_computes_fastest(monkeypatch, flags, precision, reason):
    from cnntrain.training.devices import device

    monkeypatch.setattr(device, "read_cpu_facts", lambda: {"flags": flags})
    config, checked, (note,) = resolved("precision=auto")
    assert config["precision"] == checked.precision == precision
    assert note.startswith(f"precision is auto: {precision}, ")
    assert reason in note


def test_auto_follows_the_memory(no_memory):
    words = ("batch_size=auto", "model=resnet20_v1", "dataset=cifar10")
    no_memory(GIB)
    _, checked, _ = resolved(*words)
    assert checked.batch_size == 256
    no_memory(GIB // 8)
    with pytest.raises(SpecError, match="no room"):
        resolved(*words)


@pytest.mark.slow
def test_auto_gives_the_weights_of_the_number(command, tmp_path):
    words = ["epochs=1", "threads=2"]
    ended = command(*words, "batch_size=auto", "hydra.run.dir=auto")
    assert ended.returncode == 0, ended.stderr
    asked = yaml.safe_load((tmp_path / "auto" / "spec.yaml").read_text())
    assert asked["batch_size"] == MAX_AUTO_BATCH_SIZE
    assert "batch_size is auto: 512" in ended.stdout
    assert (
        command(*words, f"batch_size={MAX_AUTO_BATCH_SIZE}", "hydra.run.dir=number").returncode == 0
    )
    reports = [json.loads((tmp_path / d / "report.json").read_text()) for d in ("auto", "number")]
    assert reports[0]["test"] == reports[1]["test"]


def test_a_mistake_beside_auto_is_answered_before_anything(command, tmp_path):
    ended = command("batch_size=auto", "model.filtres=[1,2]")
    assert ended.returncode == 2
    assert "filtres" in ended.stderr
    assert not (tmp_path / "outputs").exists()
