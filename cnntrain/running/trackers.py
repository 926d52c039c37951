"""Trackers: programs that show many runs beside each other.

They show what a run writes to history.csv and steps.csv in any case, and change no numbers of it.

A component takes the run's directory and its settings by dotted key, and returns a `Tracker` or,
for `none`, None. The package of a tracker is imported only when a run that uses it begins.
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
    """A program that stores the numbers of a run; `last` is the last step that it has already."""

    last: int

    def log(self, step: int, values: Values) -> None:
        """Store the numbers of a step; each call is of a later step than the one before."""

    def finish(self, status: str, results: Values, files: Sequence[Path]) -> None:
        """Store the results, the files and the status: `finished`, `interrupted` or `failed`."""


def auto(folder: Path, settings: Mapping[str, Any]) -> Tracker | None:
    """Return TensorBoard where it is installed, else no tracker."""
    return tensorboard(folder, settings) if find_spec("tensorboard") else None


def none(folder: Path, settings: Mapping[str, Any]) -> None:
    """Return no tracker."""


def tensorboard(folder: Path, settings: Mapping[str, Any]) -> Tracker:
    """Return a tracker that writes event files in `tensorboard/` of the run.

    A resumed run writes them anew from its tables.
    """
    return _TensorBoard(folder / "tensorboard", settings)


def mlflow(
    folder: Path, settings: Mapping[str, Any], *, uri: str | None, experiment: str
) -> Tracker:
    """Return a tracker that writes a run of an `experiment` to MLflow's store at `uri`.

    A resumed run continues its run there.
    """
    return _MLflow(folder, settings, uri, experiment)


def wandb(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    project: str,
    mode: Literal["offline", "online"],
) -> Tracker:
    """Return a tracker that writes a run of a `project` of Weights & Biases.

    With `offline` its files are in `wandb/` of the run.
    """
    return _Wandb(folder, settings, project, mode)


class _TensorBoard:
    last = 0  # all events are written anew, because a killed process may have written too many

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
    """Return a setting as TensorBoard takes it: lists and null as text."""
    return value if isinstance(value, bool | int | float | str) else str(value)


class _MLflow:
    def __init__(self, folder: Path, settings: Mapping[str, Any], uri: str | None, experiment: str):
        # A server that does not answer should cost seconds, and not MLflow's default of minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        import mlflow

        self.entities = mlflow.entities
        self.client = mlflow.MlflowClient(uri)
        id_file = folder / "state" / "mlflow"  # holds MLflow's id of the run
        self.id = id_file.read_text(encoding="utf-8") if id_file.is_file() else None
        if self.id is None:
            existing = self.client.get_experiment_by_name(experiment)
            create = self.client.create_experiment
            parent = existing.experiment_id if existing else create(experiment)
            self.id = self.client.create_run(parent, run_name=folder.name).info.run_id
            write_whole(id_file, self.id)
            pairs = [self.entities.Param(key, str(value)) for key, value in settings.items()]
            for start in range(0, len(pairs), 100):  # MLflow's limit for a batch
                self.client.log_batch(self.id, params=pairs[start : start + 100])
        else:
            self.client.update_run(self.id, "RUNNING")
        self.last = self.find_last_step()

    def find_last_step(self) -> int:
        """Return the last step of any metric in the store."""
        metrics = self.client.get_run(self.id).data.metrics
        series = [self.client.get_metric_history(self.id, name) for name in metrics]
        return max((metric.step for history in series for metric in history), default=0)

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


_WANDB_LINK = "debug-core.log"


class _Wandb:
    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        project: str,
        mode: Literal["offline", "online"],
    ):
        import wandb

        # Offline, only this file tells which step was the last one sent.
        self.sent = folder / "state" / "wandb"
        self.last = int(self.sent.read_text(encoding="utf-8")) if self.sent.is_file() else 0
        # Otherwise wandb prints forty lines a run.
        wandb.setup(wandb.Settings(silent=mode == "offline", quiet=True))
        self.run = wandb.init(
            project=project, name=folder.name, id=self.read_or_create_id(folder), dir=str(folder),
            mode=mode, config=dict(settings), resume="allow",
        )  # fmt: skip
        # A link to a log in the user's cache; a run with links out of it is refused by every verb.
        for link in (folder / "wandb").glob(f"*/logs/{_WANDB_LINK}"):
            link.unlink(missing_ok=True)  # found a second time by way of latest-run

    def read_or_create_id(self, folder: Path) -> str:
        """Return the id of the run in its project, a random one.

        The name of its directory would not do: jobs of several sweeps have the same.
        """
        id_file = folder / "state" / "wandb_id"
        if not id_file.is_file():
            write_whole(id_file, uuid.uuid4().hex[:12])
        return id_file.read_text(encoding="utf-8")

    def log(self, step: int, values: Values) -> None:
        self.run.log(dict(values), step=step)
        write_whole(self.sent, str(step))

    def finish(self, status: str, results: Values, files: Sequence[Path]) -> None:
        self.run.summary.update(dict(results))
        for file in files:
            self.run.save(str(file), base_path=str(file.parent), policy="now")
        self.run.finish(exit_code=0 if status == "finished" else 1)
