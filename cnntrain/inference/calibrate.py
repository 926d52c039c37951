"""Calibrate a run on its validation images, and measure on its test images what that is worth."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnntrain.analysis import conformal
from cnntrain.analysis.calibration import compute_calibration_error, compute_reliability
from cnntrain.analysis.significance import compute_wilson_interval
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier, check_one_label
from cnntrain.inference.examples import load_evaluation_splits, select_examples
from cnntrain.runs.calibration import Calibration, compute_weights_digest, write_calibration
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr


def check_calibration_request(classifier: Classifier, coverage: float) -> None:
    """Raise SpecError for a run whose validation images cannot promise a coverage."""
    check_one_label(classifier, "--calibrate")
    run = classifier.folder
    if not classifier.spec.dataset["valid"]:
        raise SpecError(
            f"dataset.valid is 0: {run} has learnt from all images but those of test",
            "a run that has kept images for validation",
            "a new run with dataset.valid=0.2",
        )
    if classifier.weights == "refit":
        raise SpecError(
            "--calibrate and --weights refit are both given: refit.keras has learnt from the "
            "validation images",
            "weights that have not",
            "--weights best",
        )
    if not os.access(run, os.W_OK):
        raise SpecError(f"{run} cannot be written to", "a run of yours, which the file is kept in")
    count = classifier.record.get("data", {}).get("sizes", {}).get("valid")
    if count is not None:
        check_image_count(count, coverage)


def check_image_count(count: int, coverage: float) -> None:
    """Raise SpecError for validation images that are too few to promise a coverage."""
    needed = conformal.count_needed_images(coverage)
    if count < needed:
        highest = conformal.find_highest_coverage(count)
        raise SpecError(
            f"{count} validation images cannot promise a coverage of {coverage:g}",
            f"{needed} of them or more, or less of a promise",
            f"--coverage {highest:g}" if highest >= 0.5 else None,
        )


def calibrate_run(classifier: Classifier, spec: Spec, coverage: float) -> dict[str, Any]:
    """Calibrate a run, write that into its folder, and return it with what it gives on test.

    `coverage` is the share of images like those of validation that are promised to have their label
    in the set. Raises SpecError if the validation images of `spec` are not those of the run, or too
    few. Loads TensorFlow.
    """
    with silence_stderr():
        from cnntrain.data.fingerprint import compute_evaluation_fingerprints
        from cnntrain.inference import familiarity
        from cnntrain.training.devices.setup import configure_backend
        from cnntrain.training.evaluation import predict_outputs

    configure_backend(spec)
    splits = load_evaluation_splits(classifier, spec)
    train, valid, test = (
        select_examples(classifier, spec, splits, name) for name in ("train", "valid", "test")
    )
    fingerprint = compute_evaluation_fingerprints(splits)["valid"]
    known = classifier.record.get("data", {}).get("images", {}).get("valid", fingerprint)
    if fingerprint != known:
        raise SpecError(
            f"these are not the images that {classifier.folder} was validated with",
            "its own validation images: a promise for others cannot be known from them",
        )
    check_image_count(len(valid), coverage)
    digest = compute_weights_digest(classifier.file)  # before the network is read
    network = classifier.load_network()
    bank = familiarity.collect_bank(network, train, spec.batch_size)
    scoring = familiarity.build_scoring_network(network, bank)

    def predict_scores(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        outputs = predict_outputs(scoring, examples, spec.batch_size)
        return familiarity.split_scores(outputs)

    calibration = fit_calibration(
        *predict_scores(valid), valid.labels, coverage,
        weights=classifier.weights, digest=digest, fingerprint=fingerprint, bank=bank,
    )  # fmt: skip
    tested = measure_calibration(
        calibration, *predict_scores(test), test.labels, classifier.class_names
    )
    interval = conformal.compute_coverage_interval(len(valid), coverage)
    measured = {"interval": list(interval), "test": tested}
    file = write_calibration(classifier.folder, calibration, measured)
    return {
        "run": str(classifier.folder), "file": str(file), **calibration.list_facts(), **measured,
    }  # fmt: skip


def fit_calibration(
    logits: np.ndarray, distances: np.ndarray, labels: np.ndarray, coverage: float, **about: Any
) -> Calibration:
    """Return the calibration of a network by its logits (N, units) for labels (N,).

    `distances` (N,) are those of the images from the bank. `about` are the fields of the
    calibration that say where it comes from.
    """
    from cnntrain.training.labels.kind import compute_log_probabilities
    from cnntrain.training.losses import expand_single_logit

    temperature = conformal.fit_temperature(expand_single_logit(logits, np), labels)
    probabilities = np.exp(compute_log_probabilities(logits / temperature))
    threshold, limit = conformal.fit_label_sets(probabilities, labels, distances, coverage)
    return Calibration(
        images=len(labels), coverage=coverage, temperature=temperature, threshold=threshold,
        limit=limit, **about,
    )  # fmt: skip


def measure_calibration(
    calibration: Calibration,
    logits: np.ndarray,
    distances: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Return what a calibration gives on labelled images, as a dict that JSON can hold.

    `logits` are (N, units), `distances` and `labels` (N,). An image with one label in its set has
    an answer, one without labels is refused. `accuracy` is the share of right answers among the
    answers, or None without any.
    """
    from cnntrain.inference.familiarity import decide_labels
    from cnntrain.training.labels.kind import compute_log_probabilities

    _, unfamiliarity, sets = decide_labels(calibration, logits, distances)
    before, cooled = compute_log_probabilities(logits), logits / calibration.temperature
    rows = np.arange(len(labels))
    covered, sizes = sets[rows, labels], sets.sum(axis=1)
    hits, answered = before.argmax(axis=1) == labels, sizes == 1
    log_probabilities = {"before": before, "after": compute_log_probabilities(cooled)}
    confidences = {when: np.exp(p.max(axis=1)) for when, p in log_probabilities.items()}
    return {
        "images": len(labels),
        "coverage": float(covered.mean()),
        "coverage_interval": list(compute_wilson_interval(int(covered.sum()), len(labels))),
        "mean_set_size": float(sizes.mean()),
        "answered": float(answered.mean()),
        "several": float((sizes > 1).mean()),
        "refused": float((sizes == 0).mean()),
        "unfamiliar": float((unfamiliarity > 1).mean()),
        "accuracy": float(covered[answered].mean()) if answered.any() else None,
        "accuracy_of_all": float(hits.mean()),
        **{
            f"loss_{when}": -float(p[rows, labels].mean())
            for when, p in log_probabilities.items()
        },
        **{
            f"ece_{when}": compute_calibration_error(confidence, hits)
            for when, confidence in confidences.items()
        },
        "reliability": {
            when: [vars(b) for b in compute_reliability(confidence, hits)]
            for when, confidence in confidences.items()
        },
        "classes": [
            measure_class(name, covered[labels == n], sizes[labels == n])
            for n, name in enumerate(class_names)
        ],
    }  # fmt: skip


def measure_class(name: str, covered: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    """Return the coverage and the share of refusals of one class; None if it has no images."""
    count = len(covered)
    return {
        "name": name,
        "images": count,
        "coverage": float(covered.mean()) if count else None,
        "refused": float((sizes == 0).mean()) if count else None,
    }
