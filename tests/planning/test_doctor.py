"""`cnntrain doctor`: a machine that is well, and each thing that can be wrong with one."""

import json

import pytest

from cnntrain.data import device_memory
from cnntrain.planning import doctor
from cnntrain.planning.doctor import Finding

CARD = device_memory.DeviceMemory("NVIDIA L4", 24 * 2**30, 23 * 2**30, True)
CUDA = {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"}


@pytest.mark.slow
def test_a_machine_that_is_well(command):
    ended = command("doctor", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == (0 if found["well"] else 1)
    assert found["findings"]["training"]["fix"] is None, found
    assert "digits" in found["findings"]["data"]["said"]


def test_the_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "is_library_loadable", lambda name: not name.startswith("libcudnn"))
    found = doctor.explain_unseen_gpu("NVIDIA L4", CUDA)
    assert "libcudnn.so.9 missing" in found.said
    assert "cnntrain[gpu]" in found.fix
    monkeypatch.setattr(doctor, "is_library_loadable", lambda name: name != doctor.DRIVER)
    assert "driver" in doctor.explain_unseen_gpu("NVIDIA L4", CUDA).fix
    assert "without CUDA" in doctor.explain_unseen_gpu("NVIDIA L4", {"is_cuda_build": False}).said


def test_libraries_are_those_that_tensorflow_was_built_for():
    assert "libcudart.so.12" in doctor.list_cuda_libraries(CUDA)
    assert "libcudnn.so.9" in doctor.list_cuda_libraries(CUDA)


def test_a_gpu_that_tensorflow_does_not_see_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "query_gpus", lambda: [CARD])
    assert doctor.check_gpu().fix


def test_little_memory_is_wrong(monkeypatch):
    monkeypatch.setattr(
        doctor,
        "read_machine_memory",
        lambda: device_memory.DeviceMemory("container", 2**30, 2**28, False),
    )
    assert "container" in doctor.check_memory().said
    assert doctor.check_memory().fix


def test_a_check_that_raises_is_a_finding_and_not_the_end(monkeypatch, spec, capsys):
    def broken():
        raise OSError("gone")

    monkeypatch.setattr(doctor, "check_disk", broken)
    monkeypatch.setattr(doctor, "check_training", lambda: Finding("training", "not tried"))
    findings = {finding.what: finding for finding in doctor.run_checks(spec(), None)}
    assert findings["disk"].said == "OSError: gone"
    assert findings["disk"].fix
    assert "training" in findings


def test_what_is_wrong_makes_the_exit_code_1(monkeypatch):
    from cnntrain.cli.main import main

    wrong = Finding("disk", "0.1 GiB free", "make room")
    monkeypatch.setattr(doctor, "run_checks", lambda asked, folder: iter([wrong]))
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
