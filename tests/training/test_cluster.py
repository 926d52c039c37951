"""The cluster from settings, TF_CONFIG and SLURM, which is known before TensorFlow is loaded."""

import json
import socket
import threading

import pytest

from cnntrain.errors import SpecError, WorkerLost
from cnntrain.training.devices.cluster import Cluster, build_cluster, expand_node_list

TWO = ("10.0.0.1:2222", "10.0.0.2:2222")


def tf_config(kind="worker", index=0, **jobs):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


def slurm(nodes, tasks, number):
    return {
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_PROCID": str(number),
    }


def test_settings_say_who_the_workers_are():
    found = build_cluster(TWO, 1, 1, {})
    assert (found.workers, found.index, found.is_chief) == (TWO, 1, False)
    assert found.describe_worker(0) == "worker 0 at 10.0.0.1:2222"


def test_settings_go_before_the_environment():
    found = build_cluster(None, 0, 1, tf_config(index=1, worker=[*TWO]))
    assert (found.workers, found.index) == (TWO, 0)


def test_chief_of_tf_config_is_the_first_worker():
    both = {"chief": [TWO[0]], "worker": [TWO[1]]}
    assert build_cluster(None, None, 1, tf_config("chief", 0, **both)).is_chief
    found = build_cluster(None, None, 1, tf_config("worker", 0, **both))
    assert (found.workers, found.index) == (TWO, 1)


def test_tasks_of_slurm_are_workers_with_a_port_each():
    found = build_cluster(None, None, 900, slurm("gpu[1-2],big", "2(x2),1", 3))
    assert found.workers == ("gpu1:900", "gpu1:901", "gpu2:900", "gpu2:901", "big:900")
    assert found.index == 3


@pytest.mark.parametrize("nodes", ["a", "n[1-3]", "n[08-11,3],login,x-y[001]", "a1,b[2,4-5]"])
def test_lists_of_nodes_are_read_as_tensorflow_reads_them(nodes):
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver

    assert expand_node_list(nodes) == slurm_cluster_resolver.expand_hostlist(nodes)


@pytest.mark.parametrize(
    ("workers", "index", "environment", "said"),
    [
        (None, None, {}, "distribution.workers is null"),
        (TWO, None, {}, "distribution.index is null"),
        (TWO, 2, {}, "distribution.index is 2 and there are 2 workers"),
        (("10.0.0.1",), 0, {}, "HOST:PORT"),
        (("10.0.0.1:1", "10.0.0.2:99999"), 0, {}, "ports from 1 to 65535"),
        ((TWO[0], TWO[0]), 0, {}, "an address twice"),
        (None, None, {"TF_CONFIG": "{"}, "TF_CONFIG cannot be read"),
        (None, None, tf_config("ps", 0, worker=[*TWO]), "a ps"),
        (None, None, slurm("gpu[1-2]", "1", 0), "SLURM"),
    ],
)
def test_wrong_or_contradictory_cluster_is_refused(workers, index, environment, said):
    with pytest.raises(SpecError, match=r"distribution|TF_CONFIG|SLURM") as caught:
        build_cluster(workers, index, 1, environment)
    assert said in str(caught.value)


def here(count, index):
    """Return a cluster on this machine, at ports that nothing listens on."""
    held = [socket.create_server(("", 0)) for _ in range(count)]
    workers = tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in held)
    for server in held:
        server.close()
    return [Cluster(workers, number) for number in range(count)][index]


def test_workers_that_start_one_after_another_meet():
    first = here(3, 0)
    others = [Cluster(first.workers, number) for number in (1, 2)]
    waiting = [
        threading.Thread(target=each.wait_for_workers, args=(20,)) for each in (first, *others)
    ]
    for number, thread in enumerate(waiting):
        threading.Event().wait(0.3 * number)
        thread.start()
    for thread in waiting:
        thread.join(20)
    assert not any(thread.is_alive() for thread in waiting)


def test_worker_that_does_not_come_is_named():
    with pytest.raises(WorkerLost, match=r"worker 1 at 127.0.0.1:\d+ does not answer"):
        here(2, 0).wait_for_workers(0.1)


def test_worker_says_once_for_whom_it_waits(monkeypatch, capsys):
    """Ten minutes of silence look like a fault."""
    monkeypatch.setattr("cnntrain.training.devices.cluster.SECONDS_BEFORE_NOTICE", 0)
    alone = here(2, 0)
    with pytest.raises(WorkerLost):
        alone.wait_for_workers(0.5)
    said = capsys.readouterr().err
    assert said == f"waiting for worker 1 at {alone.workers[1]}, 0.5 s at most\n"


def test_port_that_is_taken_is_refused():
    alone = here(1, 0)
    with alone.open_listener(), pytest.raises(SpecError, match=r"worker 0 at .* cannot listen"):
        alone.wait_for_workers(1)
