"""Train a run, from the spec to the report."""

import contextlib
import time
import traceback
from typing import Any

import keras
import numpy as np

from cnntrain.data.decoders import choose_decoders
from cnntrain.data.fingerprint import compute_evaluation_fingerprints, compute_fingerprint
from cnntrain.data.image_sizes import describe_image_sizes
from cnntrain.data.labels import list_label_notes
from cnntrain.data.listing import describe_replaced_photos
from cnntrain.data.photos.lazy_images import ListedImages
from cnntrain.data.photos.photo_cache import PIXELS_VERSION
from cnntrain.data.source import Splits, format_skipped
from cnntrain.data.steps import shrink_batch_size
from cnntrain.files.documents import write_json
from cnntrain.runs.directory import Run
from cnntrain.runs.strangers import find_trained_weights, get_recorded_paths
from cnntrain.spec.contradictions import check_label_kind
from cnntrain.spec.places import ORIGIN_SETTING
from cnntrain.spec.spec import Spec
from cnntrain.training import artifacts, warnings
from cnntrain.training.decisions import Replay
from cnntrain.training.devices.device import decide_for_device
from cnntrain.training.devices.one_device import Devices
from cnntrain.training.devices.setup import configure_backend, set_up_devices
from cnntrain.training.evaluation import evaluate_network, predict_scores
from cnntrain.training.fit import Fit, prepare_fit
from cnntrain.training.journal import Stopwatch
from cnntrain.training.labels.kind import get_label_kind
from cnntrain.training.labels.thresholds import tune_thresholds
from cnntrain.training.loop import Progress
from cnntrain.training.networks.build import count_parameters, repeats_grey_channel
from cnntrain.training.networks.warm_start import SourceWeights, read_source_weights


def train_run(
    spec: Spec, run: Run, progress: Progress, began: float | None = None
) -> dict[str, Any] | None:
    """Train what `spec` describes into the directory of `run`; return the report.

    Of several workers only the chief writes what is kept into `run`; the others return None.
    It is timed from `began`, in seconds since the epoch, or from now. Raises SpecError, before the
    first step, for settings that the data or the network show to be wrong.
    """
    stopwatch = Stopwatch(began)
    configure_backend(spec)
    devices = set_up_devices(spec)
    # Only the chief has a directory that a message may name.
    with devices.watch(str(run.folder) if devices.is_chief else "RUN"):
        return train_on(devices, spec, run, progress, stopwatch)


def train_on(
    devices: Devices, spec: Spec, run: Run, progress: Progress, stopwatch: Stopwatch
) -> dict[str, Any] | None:
    """Do what `train_run` does, on devices that are set up."""
    choose_decoders(spec)
    splits = spec.load_splits()
    check_label_kind(spec, splits.has_several_labels)
    stopwatch.record_lap("data")

    source = load_initial_weights(spec, run)
    shrunk_spec, note = shrink_batch_size(spec, len(splits.train), devices.replicas)
    fit = prepare_fit(shrunk_spec, run, splits, progress, source=source, devices=devices)
    record_and_announce_run(spec, run, splits, fit, progress)
    if note is not None:
        progress.note(note)
    fingerprint = run.read_run_json()["data"]["fingerprint"]
    # Workers meet after each block, and so must cut the steps alike.
    blocks = (spec.log_every, spec.steps_per_block, spec.checkpoint.every_steps)
    devices.agree({"spec": spec.deciding_values, "data": fingerprint, "blocks": blocks})
    stopwatch.record_lap("build")
    fit.train()
    stopwatch.record_lap("train")
    decodes = not isinstance(splits.train.store, np.ndarray)
    on_device = fit.pipeline[0] == "device"
    warning = warnings.warn_about_input(fit.loop.journal.spent, decodes, on_device)
    if warning is not None:
        progress.note(warning)

    report = make_report(spec, run, splits, fit) if devices.is_chief else {"test": {}}
    stopwatch.record_lap("test")
    if devices.is_chief and isinstance(splits.train.store, ListedImages):
        found, lines = describe_replaced_photos(splits.train.store)
        run.update_run_json(data=run.read_run_json()["data"] | found)
        for line in lines:
            progress.note(line)
    if spec.refit:
        for part, metrics in refit_network(spec, run, splits, fit, progress, source).items():
            report[part]["refit"] = metrics
        stopwatch.record_lap("refit")
    devices.from_chief([0.0])  # waits until all workers are here
    if not devices.is_chief:
        return None
    journal, steps = fit.loop.journal, fit.loop.position.step
    report["seconds"] = stopwatch.sum_up(journal)
    report["images_per_second"] = round(steps * shrunk_spec.batch_size / journal.seconds, 1)
    write_json(run.report, report)
    return report


def load_initial_weights(spec: Spec, run: Run) -> SourceWeights | None:
    """Return the weights of the warm start, or None.

    Their file is copied into the run first, if the run has no copy.
    """
    if spec.init_from is None:
        return None
    file = next((f for f in run.origin.glob("*") if f.suffix in (".keras", ".h5")), None)
    if file is None:
        where = get_recorded_paths(run.read_run_json()).get(ORIGIN_SETTING, spec.init_from)
        file = run.keep_origin(find_trained_weights(where)[0])
    return read_source_weights(file, spec.init_from)


def record_and_announce_run(
    spec: Spec, run: Run, splits: Splits, fit: Fit, progress: Progress
) -> None:
    """Write what is going to be trained into run.json, and note it with the run's warnings."""
    before, facts = run.read_run_json(), collect_run_facts(spec, splits, fit)
    run.update_run_json(**facts)
    data, pixels = before.get("data"), facts["data"]["pixels"]
    changes = [
        warnings.warn_about_changed_replicas(
            before.get("replicas", facts["replicas"]), facts["replicas"]
        ),
        warnings.warn_about_changed_device(before.get("device", {}), facts["device"]),
        warnings.warn_about_changed_pixels(data.get("pixels") if data else pixels, pixels),
    ]
    resumes = any(run.state.glob("*.state"))
    are_trained = fit.starts_learnt() or resumes
    total_steps = fit.loop.steps.total
    others = [
        warnings.warn_about_unsure_layers(facts.get("init", {}), splits.class_names),
        warnings.warn_about_frozen_random_weights(spec.finetune.name, are_trained),
        warnings.warn_about_slow_precision(spec.precision, facts["device"]["kind"] != "CPU"),
        *([] if resumes else warnings.list_setting_warnings(spec, fit.built.model, total_steps)),
    ]
    for line in (
        *(f"Warning: {warning}" for warning in changes if warning),
        *introduce_run(spec, splits, fit),
        decide_for_device(spec).line,
        *(f"Warning: {warning}" for warning in others if warning),
    ):
        progress.note(line)


def collect_run_facts(spec: Spec, splits: Splits, fit: Fit) -> dict[str, Any]:
    """Return the entries of run.json that describe the data, the device and the plan of a run."""
    init = fit.built.warm_start_report
    return {
        "seed": spec.seed,
        "spec_hash": spec.hash,
        "device": decide_for_device(spec).describe()
        | {"pipeline": dict(zip(("at", "why"), fit.pipeline, strict=True))},
        "replicas": fit.devices.replicas,
        "data": {
            "fingerprint": compute_fingerprint(splits),
            "images": compute_evaluation_fingerprints(splits),
            "sizes": count_examples(splits),
            "origin": splits.origin,
            "skipped": dict(splits.skipped),
            "notes": list(splits.notes),
            "value_range": splits.value_range,
            "pixels": PIXELS_VERSION if splits.names is not None else None,
        },
        "class_names": splits.class_names,
        "planned": {"steps": fit.loop.steps.total, "steps_per_epoch": fit.loop.steps.per_epoch},
        **({"several_labels": True} if splits.has_several_labels else {}),
    } | ({} if init is None else {"init": init})


def introduce_run(spec: Spec, splits: Splits, fit: Fit) -> list[str]:
    """Return the lines that introduce the network, the data and the warm start of a run."""
    lines = [format_introduction(spec, splits, fit.built.network), *splits.notes]
    if splits.valid is None:
        is_chosen = not spec.monitor.startswith("valid.")
        epoch = f"epoch with the best {spec.monitor}" if is_chosen else "last epoch"
        lines.append(
            f"Validation is off: all {len(splits.train):,} images train, and the "
            f"{'averaged ' if spec.ema_decay else ''}weights of the {epoch} are the result"
        )
    drawn = fit.loop.steps.per_epoch * fit.spec.batch_size
    lines += list_label_notes(spec, splits, drawn)
    if repeats_grey_channel(fit.built.model):
        name = fit.built.network.name
        lines.append(f"{name} is made for colour: grey images go in as three equal channels")
    if (sizes := describe_image_sizes(fit.sizes)) is not None:
        lines.append(f"images {sizes}")
    if splits.skipped:
        lines.append(format_skipped(splits.skipped))
    if (init := fit.built.warm_start_report) is not None:
        loaded, new = len(init["loaded"]), len(init["new"])
        lines.append(
            f"{loaded} of {loaded + new} layers were loaded from {init['from']}; "
            "freshly initialised: " + (", ".join(init["new"]) or "none")
        )
    return lines


def make_report(spec: Spec, run: Run, splits: Splits, fit: Fit) -> dict[str, Any]:
    """Save the last weights, evaluate them, the EMA and the best ones, and return the report.

    Leaves the best weights in the network. Also writes the artifacts of the run's page, and notes
    what the predictions show.
    """
    network, loop, kind = fit.built.network, fit.loop, get_label_kind(splits.test.labels)
    labels = {part: examples.labels for part, examples in splits.items() if part != "train"}
    report: dict[str, Any] = {"test": {}, "valid": {}}
    if spec.test_views != "none":
        report |= {"views": spec.test_views, "test_views": {}}
    if splits.has_several_labels:
        report["thresholds"] = {}

    def evaluate(name: str) -> dict[str, np.ndarray]:
        predictions = {}
        for part, examples in splits.items():
            if part == "train":
                continue
            began = time.perf_counter()
            predictions[part] = predict_scores(network, examples, spec.batch_size, fit.devices.xla)
            rate = len(examples) / (time.perf_counter() - began)
            report["evaluation"] = {"images_per_second": round(rate, 1)}
            report[part][name] = kind.compute_metrics(predictions[part], examples.labels)
        if splits.has_several_labels:
            report["thresholds"][name] = tune_thresholds(predictions, labels)
        for part, metrics in evaluate_views(spec, splits, fit).items():
            report[part][name] = metrics
        return predictions

    run.save_network(network, run.final)
    if splits.valid is None:  # else that of the validation images builds the graph
        few = splits.test[np.arange(min(len(splits.test), 2 * spec.batch_size))]
        predict_scores(network, few, spec.batch_size, fit.devices.xla)
    guesses = evaluate("final")
    if loop.average is not None:
        with loop.average.swapped_in():
            run.save_network(network, run.ema)
            guesses = evaluate("ema")
    if loop.decisions.best_row is not None:
        network.load_weights(run.best)
        report["best_epoch"] = int(loop.decisions.best_row["epoch"])
        if report["best_epoch"] < loop.position.epochs:
            guesses = evaluate("best")
        else:  # the last ones are the best
            for part in ("valid", "test", "test_views", "thresholds"):
                if last := report.get(part):
                    last["best"] = last["ema" if loop.average else "final"]
    if init := run.read_run_json().get("init"):
        report["init"] = init
    warning = warnings.warn_about_predictions(spec, splits, guesses["test"])
    if warning:
        fit.loop.progress.note(warning)
    try:
        artifacts.write_artifacts(run, spec, splits, fit.built.model, guesses)
    except Exception as error:  # any: the run has its results, and train.log what went wrong
        run.log_line(traceback.format_exc())
        fit.loop.progress.note(
            f"Warning: predictions, pictures or network.json could not be written: {error!r}; "
            "train.log has the traceback"
        )
    return report | {
        "parameters": count_parameters(network),
        "monitor": {"name": spec.monitor, "best": loop.decisions.best.best},
        "epochs": loop.position.epochs,
        "phases": [int(epoch) for epoch in loop.decisions.phases],  # the epochs before each phase
        "steps": loop.position.step,
        "features_once": loop.features_once,  # if so, images_per_second is of the layers above
    }


def evaluate_views(spec: Spec, splits: Splits, fit: Fit) -> dict[str, dict[str, float]]:
    """Return the metrics of a network on views of the test images, as `test_views` of the report.

    Returns an empty dict if the spec asks for no views.
    """
    if spec.test_views == "none":
        return {}
    metrics = evaluate_network(
        fit.built.network, splits.test, spec.batch_size, fit.devices.xla, spec.test_views
    )
    return {"test_views": metrics}


def refit_network(
    spec: Spec,
    run: Run,
    splits: Splits,
    first: Fit,
    progress: Progress,
    source: SourceWeights | None,
) -> dict[str, dict[str, float]]:
    """Train once more on train + valid, for as many epochs as `first` found best.

    Returns the metrics on the test split, as `test` of the report, and on its views, as
    `test_views`; nothing for a worker that is not the chief. The refit has checkpoints of its own
    below the run, and repeats what validation decided in the first fit: the number of epochs, when
    each phase ended, and when the plateau lowered the rate.
    """
    decisions, steps = first.loop.decisions, first.loop.steps
    best_row, epochs = decisions.best_row, first.loop.position.epochs
    epochs = int(best_row["epoch"]) if best_row else epochs
    refit_run = Run(run.folder / "refit")
    refit_run.folder.mkdir(exist_ok=True)
    progress.note(f"refit: {epochs} epoch{'s' * (epochs != 1)} on train + valid")
    replay = Replay(
        epochs, steps.planned // steps.per_epoch, decisions.phases, decisions.reductions,
        first.sizes,
    )  # fmt: skip
    merged = splits.merge_valid()
    shrunk_spec, _ = shrink_batch_size(spec, len(merged.train), first.devices.replicas)
    fit = prepare_fit(
        shrunk_spec, refit_run, merged, progress,
        source=source, replay=replay, devices=first.devices,
    )  # fmt: skip
    fit.train()
    if not first.devices.is_chief:
        return {}
    average, network = fit.loop.average, fit.built.network
    with average.swapped_in() if average else contextlib.nullcontext():
        run.save_network(network, run.refit)
        metrics = evaluate_network(network, splits.test, spec.batch_size, fit.devices.xla)
        return {"test": metrics} | evaluate_views(spec, splits, fit)


def count_examples(splits: Splits) -> dict[str, int]:
    return {name: len(part) for name, part in splits.items()}


def format_introduction(spec: Spec, splits: Splits, network: keras.Model) -> str:
    """Return the line that says which network is trained on how many images."""
    counts = ", ".join(f"{count:,} {name}" for name, count in count_examples(splits).items())
    cut = [name for name in ("valid", "test") if splits.origin.get(name, "").startswith("cut")]
    shape = "x".join(str(size) for size in splits.image_shape)
    parameters = count_parameters(network)
    remark = f" ({parameters['trainable']:,} trainable at the end)"
    trainable = "" if spec.finetune.name == "none" else remark
    several = ", several an image," if splits.has_several_labels else ""
    return (
        f"{network.name}: {parameters['total']:,} parameters{trainable}; "
        f"{len(splits.class_names)} classes{several} of {shape} images: {counts}"
        + (f" ({' and '.join(cut)} cut from train)" if cut else "")
    )
