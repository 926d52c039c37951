"""train(spec, run): the story of a run, from the spec to the report."""

import contextlib
import os
import time
import traceback
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnntrain.data.fingerprint import compute_fingerprint, fingerprint_judging_images
from cnntrain.data.labels import warn_of_imbalance
from cnntrain.data.photos.photo_cache import PIXELS_VERSION
from cnntrain.data.source import Splits, format_skipped
from cnntrain.data.steps import shrink_batch_size
from cnntrain.files.documents import write_json
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import find_trained_weights, get_recorded_paths
from cnntrain.spec.contradictions import check_replica_batches
from cnntrain.spec.places import ORIGIN_SETTING
from cnntrain.spec.spec import Spec
from cnntrain.training import artifacts, warnings
from cnntrain.training.devices.cluster import find_cluster
from cnntrain.training.devices.parallel import Parallel
from cnntrain.training.evaluation import (
    compute_headline_metrics,
    evaluate_network,
    predict_log_probabilities,
)
from cnntrain.training.fitting import Fitting
from cnntrain.training.loop import Progress, Script
from cnntrain.training.metrics import warn_about_majority_class
from cnntrain.training.network import count_parameters, repeats_grey_channel
from cnntrain.training.warm_start import SourceWeights, read_source_weights


def train_run(spec: Spec, run: Run, progress: Progress) -> dict[str, Any] | None:
    """Train what `spec` describes into the directory of `run`; return the report.

    Of several workers only the chief writes into `run` what is kept, and the others have no report.
    Raises SpecError, before the first step, for what only the data can show to be wrong.
    """
    clock = Stopwatch()
    configure_backend(spec)
    parallel = set_up_devices(spec)
    if parallel is None:
        return train_on(spec, run, progress, clock, None)
    with parallel.watched(str(run.folder) if parallel.is_chief else "RUN"):
        return train_on(spec, run, progress, clock, parallel)


def train_on(
    spec: Spec, run: Run, progress: Progress, clock: "Stopwatch", parallel: Parallel | None
) -> dict[str, Any] | None:
    """The story itself, on the devices that there are."""
    splits = spec.load_splits()
    clock.record_lap("data")

    source = load_initial_weights(spec, run)
    fitted, note = shrink_batch_size(spec, len(splits.train), count_replicas(parallel))
    fitting = Fitting(fitted, run, splits, progress, source, parallel=parallel)
    announce_run(spec, run, splits, fitting, progress)
    if note is not None:
        progress.note(note)
    if parallel is not None:
        parallel.agree(
            {"spec": spec.deciding_values, "data": run.read_run_json()["data"]["fingerprint"]}
        )
    clock.record_lap("build")
    fitting.fit()
    clock.record_lap("train")

    writes = parallel is None or parallel.is_chief
    report = make_report(spec, run, splits, fitting) if writes else {"test": {}}
    clock.record_lap("test")
    if spec.refit:
        report["test"]["refit"] = refit_network(spec, run, splits, fitting, progress, source)
        clock.record_lap("refit")
    if parallel is not None:
        parallel.from_chief([])  # nobody leaves before all have done
    if not writes:
        return None
    seconds, steps = fitting.loop.seconds, fitting.loop.step
    report["seconds"] = clock.seconds | {"steps": seconds}
    report["images_per_second"] = round(steps * fitted.batch_size / seconds, 1)
    write_json(run.report, report)
    return report


class Stopwatch:
    """The seconds of the parts of a run."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def record_lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.seconds["total"] = round(now - self.began, 3)
        self.last = now


def configure_backend(spec: Spec) -> None:
    """Set what TensorFlow, or JAX, reads once: determinism and threads."""
    tf.get_logger().setLevel("ERROR")  # it warns of every split whose last batch has its own size
    if keras.backend.backend() == "jax":
        configure_jax(spec)
    if spec.deterministic:
        tf.config.experimental.enable_op_determinism()
    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)


def set_up_devices(spec: Spec) -> Parallel | None:
    """The devices that train together, or None for one; of workers, when all are there.

    Raises SpecError for a batch that the devices cannot share, or devices that are not there.
    """
    strategy = spec.distribution()
    if strategy is None:
        return None
    parallel = Parallel(strategy, find_cluster(spec.distribution))
    check_replica_batches(spec, parallel.replicas)
    return parallel


def configure_jax(spec: Spec) -> None:
    """Leave the GPU to JAX, and make it deterministic there; on a CPU it is."""
    tf.config.set_visible_devices([], "GPU")
    if spec.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def load_initial_weights(spec: Spec, run: Run) -> SourceWeights | None:
    """The weights to begin with, from the run's own copy of them."""
    if spec.init_from is None:
        return None
    file = next((f for f in run.origin.glob("*") if f.suffix in (".keras", ".h5")), None)
    if file is None:
        where = get_recorded_paths(run.read_run_json()).get(ORIGIN_SETTING, spec.init_from)
        file = run.keep_origin(find_trained_weights(where)[0])
    return read_source_weights(file, spec.init_from)


def announce_run(
    spec: Spec, run: Run, splits: Splits, fitting: Fitting, progress: Progress
) -> None:
    """Put what is going to be trained into run.json, and say it, with what to think of before."""
    begun, facts = run.read_run_json(), collect_run_facts(spec, splits, fitting)
    run.update_run_json(**facts)
    data, pixels = begun.get("data"), facts["data"]["pixels"]
    resumed = [
        warnings.warn_about_other_devices(
            begun.get("replicas", facts["replicas"]), facts["replicas"]
        ),
        warnings.warn_about_other_pixels(data.get("pixels") if data else pixels, pixels),
    ]
    has_learnt = fitting.starts_learnt() or any(run.state.glob("*.state"))
    more = [
        warnings.warn_about_unsure_layers(facts.get("init", {}), splits.class_names),
        warnings.warn_about_frozen_random_weights(spec.finetune.name, has_learnt),
        warnings.warn_about_slow_precision(spec.precision, facts["device"]["kind"] != "CPU"),
    ]
    for line in (
        *(f"Warning: {warning}" for warning in resumed if warning),
        *introduce_run(spec, splits, fitting),
        *(f"Warning: {warning}" for warning in more if warning),
    ):
        progress.note(line)


def collect_run_facts(spec: Spec, splits: Splits, fitting: Fitting) -> dict[str, Any]:
    """Return what run.json says of a run beside how it stands."""
    init = fitting.built.warm_start_report
    return {
        "seed": spec.seed,
        "spec_hash": spec.hash,
        "device": describe_device(),
        "replicas": count_replicas(fitting.parallel),
        "data": {
            "fingerprint": compute_fingerprint(splits),
            "images": fingerprint_judging_images(splits),
            "sizes": count_examples(splits),
            "origin": splits.origin,
            "skipped": dict(splits.skipped),
            "notes": list(splits.notes),
            "value_range": splits.value_range,
            "pixels": PIXELS_VERSION if splits.digests is not None else None,
        },
        "class_names": splits.class_names,
        "planned": {"steps": fitting.total_steps, "steps_per_epoch": fitting.steps_per_epoch},
    } | ({} if init is None else {"init": init})


def introduce_run(spec: Spec, splits: Splits, fitting: Fitting) -> list[str]:
    """Return the lines that say what is trained on what."""
    lines = [format_introduction(spec, splits, fitting.network), *splits.notes]
    counts = np.bincount(splits.train.labels, minlength=len(splits.class_names)).tolist()
    unbalanced = warn_of_imbalance(counts, splits.class_names)
    if unbalanced and spec.loss.class_weights == "none":
        lines.append(unbalanced)
    if repeats_grey_channel(fitting.body):
        name = fitting.network.name
        lines.append(f"{name} is made for colour: grey images go in as three equal channels")
    if splits.skipped:
        lines.append(format_skipped(splits.skipped))
    if (init := fitting.built.warm_start_report) is not None:
        loaded, new = len(init["loaded"]), len(init["new"])
        lines.append(
            f"{loaded} of {loaded + new} layers have the weights of {init['from']}; new: "
            + (", ".join(init["new"]) or "none")
        )
    return lines


def count_replicas(parallel: Parallel | None) -> int:
    """How many devices share a batch, as TensorFlow or, on JAX, Keras shares it out."""
    shared = keras.distribution.distribution()
    on_jax = shared.num_model_replicas if shared is not None else 1
    return parallel.replicas if parallel is not None else on_jax


def make_report(spec: Spec, run: Run, splits: Splits, fitting: Fitting) -> dict[str, Any]:
    """Save the last weights, evaluate them and the best, and return the report."""
    network, loop = fitting.network, fitting.loop
    report: dict[str, Any] = {"test": {}, "valid": {}}

    def add(name: str) -> dict[str, np.ndarray]:
        assert splits.valid is not None
        found = {"valid": predict_log_probabilities(network, splits.valid, spec.batch_size)}
        began = time.perf_counter()  # Keras has made the graph of a prediction by now
        found["test"] = predict_log_probabilities(network, splits.test, spec.batch_size)
        rate = len(splits.test) / (time.perf_counter() - began)
        report["evaluation"] = {"images_per_second": round(rate, 1)}
        for part, examples in (("valid", splits.valid), ("test", splits.test)):
            report[part][name] = compute_headline_metrics(found[part], examples.labels)
        return found

    run.save_network(network, run.final)
    guesses = add("final")
    if fitting.average is not None:
        with fitting.average.in_place():
            run.save_network(network, run.ema)
            add("ema")
    if loop.best_row is not None:
        network.load_weights(run.best)
        guesses = add("best")
        report["best_epoch"] = int(loop.best_row["epoch"])
    if init := run.read_run_json().get("init"):
        report["init"] = init
    calls, weighted = guesses["test"].argmax(axis=-1), spec.loss.class_weights != "none"
    if line := warn_about_majority_class(splits.test.labels, calls, splits.class_names, weighted):
        fitting.progress.note(line)
    try:
        artifacts.write_gallery(run, spec, splits, fitting.body, guesses)
    except Exception as error:  # any: the run has its results, and train.log what went wrong
        run.log_line(traceback.format_exc())
        fitting.progress.note(f"The pictures of the report are missing: {error!r}")
    return report | {
        "parameters": count_parameters(network),
        "monitor": {"name": spec.monitor, "best": loop.best.best},
        "epochs": loop.epochs,
        "phases": [int(epoch) for epoch in loop.phases],  # the epochs before each
        "steps": loop.step,
        "features_once": loop.features_once,  # then images_per_second is of the layers above
    }


def refit_network(
    spec: Spec,
    run: Run,
    splits: Splits,
    chosen: Fitting,
    progress: Progress,
    source: SourceWeights | None,
) -> dict[str, float]:
    """Train once more on train + valid, as long as validation chose; return the test's numbers.

    It has a state of its own below the run, and repeats what validation decided: the number of
    epochs, when a phase ended, when the plateau lowered the rate.
    """
    loop = chosen.loop
    epochs = int(loop.best_row["epoch"]) if loop.best_row else loop.epochs
    again = Run(run.folder / "refit")
    again.folder.mkdir(exist_ok=True)
    progress.note(f"refit: {epochs} epochs on train + valid")
    planned = chosen.planned_steps // chosen.steps_per_epoch
    script = Script(epochs, planned, tuple(loop.phases), tuple(loop.fell))
    merged = splits.merge_valid()
    fitted, _ = shrink_batch_size(spec, len(merged.train), count_replicas(chosen.parallel))
    fitting = Fitting(fitted, again, merged, progress, source, script, chosen.parallel)
    fitting.fit()
    if not fitting.loop.writes:
        return {}
    with fitting.average.in_place() if fitting.average else contextlib.nullcontext():
        run.save_network(fitting.network, run.refit)
        return evaluate_network(fitting.network, splits.test, spec.batch_size)


def count_examples(splits: Splits) -> dict[str, int]:
    return {name: len(part) for name, part in splits.items()}


def describe_device() -> dict[str, Any]:
    """What computes: the kind of device, the names of GPUs, the threads of a CPU."""
    if keras.backend.backend() == "jax":
        import jax

        gpus = jax.devices() if jax.default_backend() == "gpu" else []
        kind, names = "GPU" if gpus else "CPU", [gpu.device_kind for gpu in gpus]
        return {"kind": kind, "gpus": names, "threads": count_cores()}
    physical = tf.config.list_physical_devices("GPU")
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in physical]
    return {
        "kind": "GPU" if gpus else "CPU",
        "gpus": [gpu.get("device_name") for gpu in gpus],
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or count_cores(),
    }


def count_cores() -> int:
    """How many processors this process may use; TensorFlow takes them all unless told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def format_introduction(spec: Spec, splits: Splits, network: keras.Model) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in count_examples(splits).items())
    cut = [name for name in ("valid", "test") if splits.origin[name].startswith("cut")]
    shape = "x".join(str(size) for size in splits.image_shape)
    known = count_parameters(network)
    trainable = (
        "" if spec.finetune.name == "none" else f" ({known['trainable']:,} trainable at the end)"
    )
    return (
        f"{network.name}: {known['total']:,} parameters{trainable}; "
        f"{len(splits.class_names)} classes of {shape} images: {counts}"
        + (f" ({' and '.join(cut)} cut from train)" if cut else "")
    )
