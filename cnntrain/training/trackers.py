"""Trackers: programs that show many runs beside each other. history.csv is written whatever is
chosen here, and nothing here decides a run's numbers.

A component takes the run's directory and its settings by dotted key, and returns a `Tracker` or,
for `none`, None. It is imported, and its package with it, where a run begins.
"""

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from cnntrain.files.writing import write_whole

Values = Mapping[str, float]
_MLFLOW_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class Tracker(Protocol):
    """Who takes in the numbers of a run; `last` is the last step that it has already."""

    last: int

    def log(self, step: int, values: Values) -> None:
        """Take in the numbers of a step; steps only rise."""

    def finish(self, status: str, results: Values, files: Sequence[Path]) -> None:
        """The run is `finished`, `interrupted` or `failed`; `files` are to be kept with it."""


def auto(folder: Path, settings: Mapping[str, Any]) -> Tracker | None:
    """TensorBoard where it is installed, else no tracker."""
    return tensorboard(folder, settings) if find_spec("tensorboard") else None


def none(folder: Path, settings: Mapping[str, Any]) -> None:
    """No tracker."""


def tensorboard(folder: Path, settings: Mapping[str, Any]) -> Tracker:
    """Event files in `tensorboard/` of the run, written anew by each of its lives."""
    return _TensorBoard(folder / "tensorboard", settings)


def mlflow(
    folder: Path, settings: Mapping[str, Any], *, uri: str | None, experiment: str
) -> Tracker:
    """A run of an `experiment` in MLflow's store at `uri`; a resumed run goes on in it."""
    return _MLflow(folder, settings, uri, experiment)


def wandb(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    project: str,
    mode: Literal["offline", "online"],
) -> Tracker:
    """A run of a `project` of Weights & Biases; offline, its files are in `wandb/` of the run."""
    return _Wandb(folder, settings, project, mode)


class _TensorBoard:
    last = 0  # the events are written anew: what a killed life wrote too much is gone

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        import tensorflow as tf
        from tensorboard.plugins.hparams import api

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self.summary, self.api, self.settings = tf.summary, api, settings
        self.decode = tf.io.decode_png
        self.writer = tf.summary.create_file_writer(str(folder))

    def log(self, step: int, values: Values) -> None:
        with self.writer.as_default():
            for name, value in values.items():
                self.summary.scalar(name, value, step)
        self.writer.flush()

    def finish(self, status: str, results: Values, files: Sequence[Path]) -> None:
        with self.writer.as_default():
            self.api.hparams({key: _convert_setting(value) for key, value in self.settings.items()})
            for name, value in results.items():
                self.summary.scalar(name, value, 0)
            for file in files:
                if file.suffix == ".png":
                    self.summary.image(file.stem, self.decode(file.read_bytes())[None], 0)
        self.writer.close()


def _convert_setting(value: Any) -> Any:
    """What TensorBoard takes for a setting: lists and null as text."""
    return value if isinstance(value, bool | int | float | str) else str(value)


class _MLflow:
    def __init__(self, folder: Path, settings: Mapping[str, Any], uri: str | None, experiment: str):
        # A server that is gone is to cost seconds, not the usual minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        import mlflow

        self.entities = mlflow.entities
        self.client = mlflow.MlflowClient(uri)
        known = folder / "state" / "mlflow"  # the name of the run in the store
        self.id = known.read_text(encoding="utf-8") if known.is_file() else None
        if self.id is None:
            found = self.client.get_experiment_by_name(experiment)
            home = found.experiment_id if found else self.client.create_experiment(experiment)
            self.id = self.client.create_run(home, run_name=folder.name).info.run_id
            write_whole(known, self.id)
            pairs = [self.entities.Param(key, str(value)) for key, value in settings.items()]
            for start in range(0, len(pairs), 100):  # as many as it takes at once
                self.client.log_batch(self.id, params=pairs[start : start + 100])
        else:
            self.client.update_run(self.id, "RUNNING")
        self.last = self.find_last_step()

    def find_last_step(self) -> int:
        """The last step of any metric in the store."""
        metrics = self.client.get_run(self.id).data.metrics
        series = [self.client.get_metric_history(self.id, name) for name in metrics]
        return max((metric.step for one in series for metric in one), default=0)

    def log(self, step: int, values: Values) -> None:
        now = int(1000 * time.time())
        metrics = [self.entities.Metric(k, v, now, step) for k, v in values.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def finish(self, status: str, results: Values, files: Sequence[Path]) -> None:
        if results:
            self.log(self.last, results)
        for file in files:
            self.client.log_artifact(self.id, str(file))
        self.client.set_terminated(self.id, _MLFLOW_STATUS[status])


class _Wandb:
    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        project: str,
        mode: Literal["offline", "online"],
    ):
        import wandb

        self.sent = folder / "state" / "wandb"  # offline, nobody else knows what was sent
        self.last = int(self.sent.read_text(encoding="utf-8")) if self.sent.is_file() else 0
        wandb.setup(wandb.Settings(silent=mode == "offline", quiet=True))  # or forty lines a run
        self.run = wandb.init(
            project=project, name=folder.name, id=self.read_or_create_id(folder), dir=str(folder),
            mode=mode, config=dict(settings), resume="allow",
        )  # fmt: skip

    def read_or_create_id(self, folder: Path) -> str:
        """The name of the run in its project: not its directory's, which jobs of sweeps share."""
        known = folder / "state" / "wandb_id"
        if not known.is_file():
            write_whole(known, uuid.uuid4().hex[:12])
        return known.read_text(encoding="utf-8")

    def log(self, step: int, values: Values) -> None:
        self.run.log(dict(values), step=step)
        write_whole(self.sent, str(step))

    def finish(self, status: str, results: Values, files: Sequence[Path]) -> None:
        self.run.summary.update(dict(results))
        for file in files:
            self.run.save(str(file), base_path=str(file.parent), policy="now")
        self.run.finish(exit_code=0 if status == "finished" else 1)
