"""A run as a Python program uses it: its numbers, its network, and going on with it."""

from base64 import b64encode
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cnntrain.api.network_files import NetworkFiles, list_versions
from cnntrain.api.python_values import collect_overrides
from cnntrain.api.rendering import format_html_lines, make_table, render_table_as_html
from cnntrain.errors import SpecError
from cnntrain.files.paths import shorten_path
from cnntrain.inference.classifier import open_classifier
from cnntrain.runs.directory import WEIGHTS
from cnntrain.runs.directory import Run as RunDirectory
from cnntrain.runs.results import RunResult, describe_status, read_run
from cnntrain.runs.strangers import (
    find_run_folder,
    get_recorded_paths,
    read_config,
    read_record,
    read_report,
)
from cnntrain.spec.build import build_spec
from cnntrain.spec.metrics import name_metric
from cnntrain.spec.places import replace_paths
from cnntrain.spec.signatures import GROUPS
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr

if TYPE_CHECKING:
    from cnntrain.api.evaluation import Evaluation
    from cnntrain.api.predictions import Predictions

Weights = Literal["best", "final", "ema", "refit"]


def load(path: "str | PathLike[str]", weights: Weights | None = None) -> "Run":
    """Return the run in a directory, finished or not.

    `weights` are those that it predicts and is evaluated with; by default the best ones. Raises
    SpecError if the directory holds no run, a damaged one, or one of a newer version.
    """
    return Run(path, weights)


class Run:
    """A run in its directory. What it says is read when it is asked for, also while it trains."""

    def __init__(self, folder: "str | PathLike[str]", weights: Weights | None = None):
        """Open the run in a directory; raise SpecError if there is none."""
        if weights is not None and weights not in WEIGHTS:
            raise SpecError(f"weights is {weights!r}", WEIGHTS)
        self.folder: Path = find_run_folder(fspath(folder)).absolute()
        self.weights = weights
        self.last_files: tuple[Any, NetworkFiles] | None = None  # see `network_files`
        read_record(self.files)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process open the run: what was read of it cannot be sent there."""
        return type(self), (self.folder, self.weights)

    def __fspath__(self) -> str:
        """Return its directory, so that a run may stand for it: `train(init_from=run)`."""
        return str(self.folder)

    @property
    def files(self) -> RunDirectory:
        """The files of the run; SpecError if its directory is not there any more."""
        return RunDirectory(find_run_folder(str(self.folder)))

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.result.name

    @property
    def result(self) -> RunResult:
        """What the files say of the run: status, settings by dotted key, history, numbers."""
        return read_run(self.folder)

    @property
    def status(self) -> str:
        """How the run stands: `running`, `finished`, `interrupted`, `failed` or `killed`."""
        return self.result.status

    @property
    def spec(self) -> Spec:
        """The checked spec: `spec.epochs`, `spec.model.name`, `spec.optimizer["learning_rate"]`."""
        record = read_record(self.files)
        return build_spec(replace_paths(read_config(self.files), get_recorded_paths(record)))

    @property
    def report(self) -> dict[str, Any]:
        """The content of report.json; empty before the run has finished."""
        return read_report(self.files)

    @property
    def history(self) -> Any:
        """A DataFrame with a row an epoch, as history.csv has them; without pandas, dicts."""
        return make_table(self.result.history)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        names = read_record(self.files).get("class_names")
        if names is None:
            raise SpecError(f"{self.folder} knows no classes yet", "a run whose data has been read")
        return tuple(names)

    @property
    def page(self) -> Path:
        """The path of report.html, the run on one page."""
        return self.folder / "report.html"

    @property
    def network_files(self) -> NetworkFiles:
        """The network and what belongs to it, read again when its files have been written since."""
        written = list_versions(self.folder)
        if self.last_files is None or self.last_files[0] != written:
            classifier = open_classifier(str(self.folder), self.weights)
            self.last_files = written, NetworkFiles(classifier)
        return self.last_files[1]

    @property
    def network(self) -> Any:
        """The Keras network: images (N, H, W, C) uint8 from 0 to 255 in, logits (N, classes) out.

        Loading it loads TensorFlow. Raises SpecError if the run has no weights yet.
        """
        return self.network_files.network

    def predict(self, images: Any, *, calibrated: bool = True) -> "Predictions":
        """Return what the network says of images, as `cnntrain predict` does.

        `images` are a path of a photo or folder, an image of Pillow, an array (H, W), (H, W, C),
        (N, H, W) or (N, H, W, C) of uint8 from 0 (black) to 255 (white), or a list of these. They
        may have any size. Without `calibrated`, a calibration of the run is left out. Raises
        SpecError for numbers of another type, for other axes, and for a path that is not there.
        """
        from cnntrain.api.pictures import gather_pictures

        files = self.network_files
        frame, thresholds = files.classifier.frame, files.thresholds
        calibration = files.calibration if calibrated and thresholds is None else None
        pictures = gather_pictures(images, frame)
        network = files.network if calibration is None else files.scoring_network
        with silence_stderr():
            from cnntrain.api.pictures import decode_pictures
            from cnntrain.api.predictions import Predictions
            from cnntrain.data.photos.findings import Findings
            from cnntrain.inference.predict_photos import predict_pictures
            from cnntrain.training.labels.kind import ONE_LABEL, SEVERAL_LABELS

        findings = Findings()
        predictions = predict_pictures(
            network,
            [picture.name for picture in pictures],
            lambda rows: decode_pictures(pictures[rows.start : rows.stop]),
            frame,
            findings,
            ONE_LABEL if thresholds is None else SEVERAL_LABELS,
            calibration,
        )
        found = tuple(predictions)
        notes = tuple(findings.list_notes(len(found), frame.value_range))
        return Predictions(found, files.classifier.class_names, thresholds, calibration, notes)

    def evaluate(
        self,
        *words: str,
        split: Literal["test", "valid", "train"] = "test",
        flips: bool = False,
        views: Literal["none", "mirrored", "mirrored_shifted"] = "none",
        **settings: Any,
    ) -> "Evaluation":
        """Return how good the network is, as `cnntrain evaluate` does, in a process of its own.

        Words and settings name other images: `dataset="cifar10"`, `data_dir=…`. Raises SpecError
        for images that do not suit the network.
        """
        from cnntrain.api.evaluation import evaluate_run

        flags = [*(["--weights", self.weights] if self.weights else []), "--split", split]
        flags += ["--flips"] if flips else []
        flags += ["--views", views]
        return evaluate_run(self.folder, [*collect_overrides(words, settings), *flags])

    def resume(
        self, *words: str, in_process: bool = False, verbose: bool = True, **settings: Any
    ) -> "Run":
        """Go on exactly where the run stopped, or beyond its end with `epochs=40`; return itself.

        `in_process` and `verbose` are those of `train`. Raises what `train` raises.
        """
        from cnntrain.api.train import resume_run

        overrides = collect_overrides(words, settings)
        resume_run(self.folder, overrides, in_process=in_process, verbose=verbose)
        return self

    def __repr__(self) -> str:
        result = self.result
        return f"<Run {shorten_path(self.folder)}: {', '.join(describe_run(result))}>"

    def _repr_html_(self) -> str:
        from cnntrain.running.progress import build_result_table

        result, report = self.result, self.report
        choices = [
            f"{group}={result.settings[group]}" for group in GROUPS if group in result.settings
        ]
        parts = [
            f"<b>{escape(shorten_path(self.folder))}</b>",
            format_html_lines([", ".join(describe_run(result)), " ".join(choices)]),
        ]
        if report.get("test"):
            parts.append(render_table_as_html(build_result_table({"valid": {}} | report)))
        curves = self.folder / "figures" / "curves.png"
        if curves.is_file():
            picture = b64encode(curves.read_bytes()).decode()
            parts.append(f'<img style="max-width: 100%" src="data:image/png;base64,{picture}">')
        return "".join(parts)


def describe_run(result: RunResult) -> list[str]:
    """Return in a few words how a run stands and how good it is."""
    words = [describe_status(result.status).partition(" ")[2]]
    words += [result.reason] if result.reason else []
    if result.history:
        epochs = result.last["epoch"]
        words.append(f"{epochs:g} epoch{'s' * (epochs != 1)}")
    for part in ("valid", "test"):
        if (number := result.numbers.get(f"{part}.{result.headline}")) is not None:
            words.append(f"{part} {name_metric(result.headline)} {number:.4f}")
    return words
