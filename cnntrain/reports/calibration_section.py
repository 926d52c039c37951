"""What the page of a run says of its calibration: sets of labels, refusals, and their figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnntrain.analysis.calibration import ReliabilityBin
from cnntrain.errors import SpecError
from cnntrain.files.documents import explain_damage
from cnntrain.reports import charts
from cnntrain.runs.calibration import (
    describe_risen_loss,
    find_calibrated_weights,
    find_calibration_file,
    read_calibration_facts,
)
from cnntrain.runs.strangers import check_required_keys, check_types
from cnntrain.spec.knobs import Natural
from cnntrain.terminal.units import NO_VALUE, format_percent

# The types of what `measure_calibration` writes, and of its parts.
TEST_TYPES = {
    "images": Natural, "coverage": float, "coverage_interval": list[float],
    "mean_set_size": float, "answered": float, "several": float, "refused": float,
    "unfamiliar": float, "accuracy": float, "accuracy_of_all": float, "loss_before": float,
    "loss_after": float, "ece_before": float, "ece_after": float, "classes": list[dict],
    "reliability": dict, "reliability.before": list[dict], "reliability.after": list[dict],
}  # fmt: skip
BIN_TYPES = {
    "low": float, "high": float, "images": Natural, "confidence": float, "accuracy": float,
}  # fmt: skip
CLASS_TYPES = {"name": str, "images": Natural, "coverage": float, "refused": float}
CLASSES_SHOWN = 40  # of more classes those that are covered least


def build_calibration_context(folder: Path) -> dict[str, Any]:
    """Return the variable `calibrated` of run.html.j2: None, or what the section shows.

    Of a calibration that cannot be used it has only `reason`, why.
    """
    weights = find_calibrated_weights(folder)
    if weights is None:
        return {"calibrated": None}
    try:
        facts = read_calibration_facts(folder, weights)
        assert facts is not None
        return {"calibrated": build_section(facts, check_test(folder, weights, facts))}
    except SpecError as error:
        return {"calibrated": {"reason": error.given, "hint": error.hint or ""}}


def check_test(folder: Path, weights: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured on the test split; raise SpecError if it is damaged."""
    file = find_calibration_file(folder, weights)
    test = check_types(file, facts.get("test", {}), TEST_TYPES)
    always = [key for key in TEST_TYPES if "." not in key and key != "accuracy"]
    check_required_keys(file, test, always)
    if any(len(ends) != 2 for ends in (test["coverage_interval"], facts.get("interval", (0, 1)))):
        raise explain_damage(file, "an interval of it has not two ends")
    for when in ("before", "after"):
        bins = [check_types(file, row, BIN_TYPES) for row in test["reliability"].get(when, [])]
        for row in bins:
            check_required_keys(file, row, list(BIN_TYPES))
        test[when] = [ReliabilityBin(**{key: row[key] for key in BIN_TYPES}) for row in bins]
        if not bins:
            raise SpecError(f"{file} cannot be used: it has no reliability", "what was measured")
    classes = [check_types(file, row, CLASS_TYPES) for row in test["classes"]]
    for row in classes:
        check_required_keys(file, row, ["name", "images"])
    return test | {"classes": [row for row in classes if "coverage" in row]}


def build_section(facts: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentences, rows and figures on a calibration."""
    classes = sorted(test["classes"], key=lambda row: row["coverage"])
    low, high = facts.get("interval", [0.0, 1.0])
    return {
        "reason": None,
        "warning": describe_risen_loss(facts["images"], test),
        "weights": facts["weights"],
        "images": facts["images"],
        "temperature": f"{facts['temperature']:.3f}",
        "threshold": f"{facts['threshold']:.4f}",
        "promise": format_percent(facts["coverage"]),
        "low": format_percent(low),
        "high": format_percent(high),
        "rows": list_measured_rows(test),
        "reliability": charts.plot_reliability(test["before"], test["after"]),
        "coverage": charts.plot_class_coverage(classes[:CLASSES_SHOWN], facts["coverage"]),
        "left_out": max(0, len(classes) - CLASSES_SHOWN),
    }


def list_measured_rows(test: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    """Return a name, a value and a remark for each number that was measured on the test images."""
    low, high = test["coverage_interval"]
    right = NO_VALUE if "accuracy" not in test else format_percent(test["accuracy"])
    errors = f"{test['ece_after']:.4f}", f"{test['ece_before']:.4f} as trained"
    losses = f"{test['loss_after']:.4f}", f"{test['loss_before']:.4f} as trained"
    return [
        (
            "the class is in the set",
            format_percent(test["coverage"]),
            f"95 % interval {low:.4f} to {high:.4f}",
        ),
        ("one label: an answer", format_percent(test["answered"]), f"{right} of these are right"),
        (
            "several labels",
            format_percent(test["several"]),
            f"{test['mean_set_size']:.3f} labels in the mean set",
        ),
        (
            "no label: none of these",
            format_percent(test["refused"]),
            f"{format_percent(test['unfamiliar'])} for being unlike the training images",
        ),
        ("calibration error", *errors),
        ("loss", *losses),
    ]
