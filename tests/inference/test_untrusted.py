"""A run from a stranger: no code in it runs, and a message names what is wrong with it."""

import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.inference.untrusted import (
    FORBIDDEN_LAYERS,
    find_named_nodes,
    is_harmless,
    read_network_config,
)
from cnntrain.spec import option_files

TRACE = "ran.txt"
VERBS = {
    "evaluate": (),
    "predict": (".",),
    "export": ("--format", "keras"),
    "look": ("--test", "3"),
}


@pytest.fixture
def stranger(digits, tmp_path):
    """Return a copy of a run, for a test to spoil."""
    return shutil.copytree(digits.folder, tmp_path / "stranger")


def make_trace_command(tmp_path):
    """Return a shell command that leaves a file if anything runs it."""
    return f"touch {tmp_path / TRACE}"


def rewrite(path, **members):
    """Replace members of the zip file `path`."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**contents, **members}.items():
            archive.writestr(name, content)


def replace_second_layer(path, layer):
    """Update the second layer in the configuration of the `.keras` file `path` with `layer`."""
    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    config["config"]["layers"][1] |= layer
    rewrite(path, **{"config.json": json.dumps(config)})


def make_lambda_config(command):
    """Return what Keras saves of a Lambda layer, whose function is Python bytecode."""
    import keras

    body = eval(f"lambda x: (__import__('os').system({command!r}), x)[1]")
    saved = keras.saving.serialize_keras_object(keras.layers.Lambda(body, output_shape=(1,)))
    return {key: saved[key] for key in ("module", "class_name", "config")}


def make_harmful_layers(command):
    """Return configurations of layers that run code, or call what the file names when built."""
    return {
        "lambda": make_lambda_config(command),
        "a callable of another module": {
            "module": "os", "class_name": "function", "config": "system",
            "registered_name": "system",
        },
        "a class of another module": {
            "module": "subprocess", "class_name": "Popen", "config": {"args": command.split()},
        },
        "a tool of Keras": {
            "module": "keras.utils", "class_name": "get_file",
            "config": {"fname": "x", "origin": "http://127.0.0.1/x"},
        },
        "a program of TensorFlow": {
            "module": "keras.layers", "class_name": "TFSMLayer",
            "config": {"name": "x", "filepath": "/tmp/x", "call_endpoint": "serve"},
        },
        "deep inside": {
            "module": "keras.layers", "class_name": "Activation",
            "config": {"activation": {"module": "os", "class_name": "function",
                                      "config": "system", "registered_name": None}},
        },
    }  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_network_that_would_run_code_is_refused(refusal, stranger, tmp_path, verb):
    for layer in make_harmful_layers(make_trace_command(tmp_path)).values():
        shutil.copy(stranger / "final.keras", stranger / "best.keras")
        replace_second_layer(stranger / "best.keras", layer)
        answer = str(refusal(verb, stranger, *VERBS[verb]))
        assert f"{layer['class_name']}, which may run" in answer or "os.function" in answer
    assert not (tmp_path / TRACE).exists()


@pytest.mark.parametrize("name", FORBIDDEN_LAYERS)
def test_a_layer_that_runs_code_or_reads_files_is_not_harmless(name):
    assert not is_harmless({"module": "keras.layers", "class_name": name})
    assert not is_harmless({"module": None, "class_name": name})


def make_harmful_specs(command):
    """Return contents of spec.yaml that name callables, as text or as a change to a spec."""
    return {
        "python": f"model: !!python/object/apply:os.system ['{command}']\n",
        "python, new": f"!!python/object/new:os.system ['{command}']\n",
        "component": lambda spec: spec | {"model": spec["model"] | {"name": "os.system"}},
        "path": lambda spec: spec | {"model": spec["model"] | {"name": "../cli"}},
        "target": lambda spec: spec | {"model": spec["model"] | {"_target_": "os.system"}},
        "knob": lambda spec: spec | {"optimizer": {"name": "__import__('os').system"}},
        "nested": lambda spec: spec | {"augmentation": {"name": "compose",
                                                        "ops": [{"name": "os.system"}]}},
        "dataset": lambda spec: spec | {"dataset": spec["dataset"] | {"name": "folders"}},
    }  # fmt: skip


@pytest.mark.parametrize("verb", [*VERBS, "resume"])
def test_a_spec_that_names_callables_is_refused(refusal, stranger, tmp_path, verb):
    spec = yaml.safe_load((stranger / "spec.yaml").read_text())
    for text in make_harmful_specs(make_trace_command(tmp_path)).values():
        content = text if isinstance(text, str) else yaml.safe_dump(text(spec))
        (stranger / "spec.yaml").write_text(content)
        words = VERBS.get(verb, ("epochs=9",))
        assert str(refusal(verb, stranger, *words))
    assert not (tmp_path / TRACE).exists()


class Bomb:
    """An object that runs a shell command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


@pytest.mark.slow
def test_a_checkpoint_with_a_pickle_is_not_loaded(stranger, tmp_path):
    content = io.BytesIO()
    np.savez(
        content, names=np.array([Bomb(make_trace_command(tmp_path))], dtype=object), facts="{}"
    )
    payload = content.getvalue()
    line = hashlib.sha256(payload).hexdigest().encode() + b"\n"
    for name in ("last.state", "previous.state"):
        (stranger / "state" / name).write_bytes(line + payload)
    before = json.loads((stranger / "run.json").read_text())
    (stranger / "run.json").write_text(json.dumps(before | {"status": "interrupted"}))
    words = [sys.executable, "-m", "cnntrain", "resume", str(stranger)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "no state in" in done.stderr
    assert not (tmp_path / TRACE).exists()


def test_weights_with_a_pickle_are_refused(refusal, stranger, tmp_path):
    bomb = pickle.dumps(Bomb(make_trace_command(tmp_path)))
    rewrite(stranger / "best.keras", **{"model.weights.h5": bomb})
    assert "best.keras cannot be used" in str(refusal("evaluate", stranger))
    (stranger / "best.keras").write_bytes(bomb)
    assert "cannot be read as a network" in str(refusal("evaluate", stranger))
    assert not (tmp_path / TRACE).exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_message_says_why_a_folder_is_not_a_run_with_weights(refusal, stranger, tmp_path, verb):
    def get_answer(run):
        return str(refusal(verb, run, *VERBS[verb]))

    assert "nowhere is not there" in get_answer("nowhere")
    assert "holds no run" in get_answer(tmp_path)
    assert str(stranger) in get_answer(tmp_path)  # the run that lies in it
    assert "is a file" in get_answer(stranger / "best.keras")
    record = json.loads((stranger / "run.json").read_text())
    newer = record | {"format": 99, "versions": {"cnntrain": "99.1"}}
    (stranger / "run.json").write_text(json.dumps(newer))
    assert "was written by cnntrain 99.1" in get_answer(stranger)
    (stranger / "run.json").write_text("{")
    assert "run.json cannot be used" in get_answer(stranger)
    (stranger / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    for name in ("best", "final"):
        (stranger / f"{name}.keras").unlink()
    assert f"try       cnntrain resume {stranger}" in get_answer(stranger)
    diverged = record | {"status": "failed", "kind": "Diverged", "error": "the loss is not finite"}
    (stranger / "run.json").write_text(json.dumps(diverged))
    assert "it failed: the loss is not finite" in get_answer(stranger)
    assert "resume" not in get_answer(stranger), "it would diverge again"


def test_mistakes_are_answered_without_tensorflow_and_help_at_once(stranger):
    code = (
        "import sys, time\n"
        "from cnntrain.cli.main import main\n"
        "def ends(*words):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: return end.code\n"
        "began = time.monotonic()\n"
        "assert [ends(v, '--help') for v in ('evaluate', 'predict', 'export', 'look')] == [0] * 4\n"
        "assert time.monotonic() - began < 2\n"
        f"run = {str(stranger)!r}\n"
        "assert ends('evaluate', run, 'epochs=3') == 2\n"
        "assert ends('predict', run, 'no.jpg') == 2\n"
        "assert ends('export', run, '--format', 'onyx') == 2\n"
        "assert ends('evaluate', run, 'dataset=mnst') == 2\n"
        "assert ends('look', run, '--test', '0', '--layer', 'conv9') == 2\n"
        "assert ends('look', run, '--test', '0', '--target', 'ten') == 2\n"
        "assert ends('look', run, run + '/spec.yaml') == 2\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_network_of_cnntrain_is_harmless():
    check_option("alexnet")


@pytest.mark.slow
def test_all_networks_of_cnntrain_are_harmless():
    for option in option_files.find_option_files("model"):
        check_option(option)


def check_option(option):
    from cnntrain.analysis.zoo import build_unfilled_network

    config = json.loads(build_unfilled_network(option).to_json())
    assert [node for node in find_named_nodes(config) if not is_harmless(node)] == []


def test_a_cast_is_harmless_and_a_loop_is_not():
    """Networks in mixed precision cast around normalisations, which compute in float32."""
    core = "keras.src.ops.core"
    assert is_harmless({"module": core, "class_name": "Cast"})
    for name in ("Map", "Scan", "WhileLoop", "Cond"):
        assert not is_harmless({"module": core, "class_name": name})


def test_a_zip_without_a_network_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(SpecError, match="cannot be read as a network"):
        read_network_config(tmp_path / "x.keras")
