"""The cluster of a run: the addresses of its workers, and which of them this process is.

It is known before TensorFlow is loaded: from the settings, else from TF_CONFIG, else from SLURM.
"""

import json
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnntrain.errors import SpecError, WorkerLost
from cnntrain.spec.signatures import Component

ADDRESS = re.compile(r"[^\s:/]+:\d{1,5}")
NODES_PATTERN = re.compile(
    r"([^,\[]+)(?:\[([^\]]*)\])?"
)  # a part of SLURM's list of nodes: gpu[01-03,07]
TASKS_PATTERN = re.compile(r"(\d+)(?:\(x(\d+)\))?")  # a part of SLURM's tasks of each node: 2(x3),1
SECONDS_BEFORE_NOTICE = 3  # seconds of waiting, after which a line says for whom
HIGHEST_PORT = 65535
WORKERS_EXAMPLE = "distribution.workers=[HOST:PORT,HOST:PORT] distribution.index=0"


@dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, and the number of this one; worker 0 is the chief."""

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that validates and writes the run."""
        return self.index == 0

    @property
    def others(self) -> list[int]:
        """The numbers of the other workers."""
        return [number for number in range(len(self.workers)) if number != self.index]

    def describe_worker(self, number: int) -> str:
        """Return a worker as text: `worker 1 at gpu02:12345`."""
        return f"worker {number} at {self.workers[number]}"

    def find_silent_workers(self) -> list[str]:
        """Return the other workers, as text, at whose addresses nothing listens now."""
        return [self.describe_worker(n) for n in self.others if not is_listening(self.workers[n])]

    def wait_for_workers(self, timeout: float) -> None:
        """Wait until every other worker has been seen at its address.

        Each worker listens at its own until it has seen all others, and then leaves the port to
        TensorFlow, whose own wait can neither be ended by Ctrl-C nor say who is missing. Raises
        SpecError if the port is taken, and WorkerLost after `timeout` seconds.
        """
        unseen, began = set(self.others), time.monotonic()
        deadline, is_announced = began + timeout, False
        with self.open_listener():
            while unseen:
                unseen = {number for number in unseen if not is_listening(self.workers[number])}
                if unseen and time.monotonic() > deadline:
                    raise WorkerLost(
                        [self.describe_worker(number) for number in sorted(unseen)],
                        f"all of them started within distribution.timeout={timeout:g} seconds",
                    )
                if unseen and not is_announced and time.monotonic() > began + SECONDS_BEFORE_NOTICE:
                    names = ", ".join(self.describe_worker(number) for number in sorted(unseen))
                    print(f"waiting for {names}, {timeout:g} s at most", file=sys.stderr)
                    is_announced = True
                time.sleep(0.2)

    def open_listener(self) -> socket.socket:
        """Return a socket that listens at the port of this worker, by which the others see it."""
        address = self.workers[self.index]
        port = int(address.rpartition(":")[2])
        try:
            return socket.create_server(("", port), backlog=len(self.workers) + 8)
        except (OSError, OverflowError) as error:
            raise SpecError(
                f"{self.describe_worker(self.index)} cannot listen: {error}",
                "a port of this machine that is free",
            ) from error


def is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def build_cluster(
    workers: Sequence[str] | None, index: int | None, port: int, environment: Mapping[str, str]
) -> Cluster:
    """Return the cluster of the settings, or of the environment where a setting is None.

    Raises SpecError where neither says who the workers are, and for addresses or an index that are
    not valid.
    """
    environment_workers, environment_index = read_workers_from_environment(port, environment)
    workers = environment_workers if workers is None else tuple(workers)
    index = environment_index if index is None else index
    if workers is None:
        raise SpecError(
            "distribution is multi_worker and distribution.workers is null",
            "the workers' addresses, TF_CONFIG or a step of SLURM",
            WORKERS_EXAMPLE,
        )
    if index is None:
        raise SpecError(
            "distribution is multi_worker and distribution.index is null",
            f"which of the {len(workers)} workers this is, from 0",
            "distribution.index=0",
        )
    check_workers(workers, index)
    return Cluster(workers, index)


def find_cluster(distribution: Component) -> Cluster | None:
    """Return the cluster of the `distribution` of a spec, or None if it is not `multi_worker`."""
    if distribution.name != "multi_worker":
        return None
    knobs = distribution.knobs
    return build_cluster(knobs["workers"], knobs["index"], knobs["port"], os.environ)


def check_workers(workers: tuple[str, ...], index: int) -> None:
    """Raise SpecError for a wrong or repeated address, or an index beyond the workers."""
    for address in workers:
        if not ADDRESS.fullmatch(address):
            raise SpecError(
                f"distribution.workers has {address!r}", "HOST:PORT for each", WORKERS_EXAMPLE
            )
        if not 0 < int(address.rpartition(":")[2]) <= HIGHEST_PORT:
            raise SpecError(
                f"distribution.workers has {address!r}", f"ports from 1 to {HIGHEST_PORT}"
            )
    if len(set(workers)) < len(workers):
        raise SpecError(
            f"distribution.workers has an address twice: {', '.join(workers)}",
            "an address of its own for each; on one host, a port of its own",
        )
    if index >= len(workers):
        raise SpecError(
            f"distribution.index is {index} and there are {len(workers)} workers",
            f"a whole number from 0 to {len(workers) - 1}",
        )


def read_workers_from_environment(
    port: int, environment: Mapping[str, str]
) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the workers and the number of this one, or None without TF_CONFIG and SLURM."""
    if environment.get("TF_CONFIG"):
        return read_workers_from_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment:
        return read_workers_from_slurm(port, environment)
    return None, None


def read_workers_from_tf_config(text: str) -> tuple[tuple[str, ...], int]:
    """Return the workers of TF_CONFIG, a task of the type `chief` first, and this one's number."""
    try:
        config: Mapping[str, Any] = json.loads(text)
        chiefs = config["cluster"].get("chief", [])
        workers = (*chiefs, *config["cluster"].get("worker", []))
        kind, index = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(
            f"TF_CONFIG cannot be read: {type(error).__name__}: {error}",
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}',
        ) from None
    if kind not in ("chief", "worker"):
        raise SpecError(f"TF_CONFIG makes this process a {kind}", ("chief", "worker"))
    return workers, index + (len(chiefs) if kind == "worker" else 0)


def read_workers_from_slurm(
    port: int, environment: Mapping[str, str]
) -> tuple[tuple[str, ...], int]:
    """Return a worker for each task of a SLURM step, in block order, and this one's number."""
    try:
        nodes = expand_node_list(environment["SLURM_STEP_NODELIST"])
        tasks = environment["SLURM_STEP_TASKS_PER_NODE"]
        counts = [
            int(n) for n, times in TASKS_PATTERN.findall(tasks) for _ in range(int(times or 1))
        ]
        workers = tuple(
            f"{node}:{port + number}"
            for node, count in zip(nodes, counts, strict=True)
            for number in range(count)
        )
        return workers, int(environment["SLURM_PROCID"])
    except (ValueError, KeyError) as error:
        raise SpecError(
            f"SLURM's variables cannot be read: {type(error).__name__}: {error}",
            "a step of SLURM, as srun starts it",
            WORKERS_EXAMPLE,
        ) from None


def expand_node_list(nodes: str) -> list[str]:
    """Return the names of nodes in SLURM's short form: gpu[01-03],login is gpu01 … gpu03, login.

    Other parsers do not serve: python-hostlist is under the GPL, TensorFlow's loads TensorFlow.
    """
    names = []
    for prefix, numbers in NODES_PATTERN.findall(nodes):
        for part in numbers.split(",") if numbers else [""]:
            first, _, last = part.partition("-")
            ends = range(int(first), int(last or first) + 1) if part else [None]
            names += [prefix if n is None else f"{prefix}{str(n).zfill(len(first))}" for n in ends]
    return names
