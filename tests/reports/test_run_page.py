"""The page of a run and its figures, of finished, running, failed and damaged runs."""

import html
import itertools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import classification_report

from cnntrain.analysis.calibration import compute_reliability
from cnntrain.reports import charts
from cnntrain.reports.network_diagram import build_diagram
from cnntrain.reports.run_page import write_run_report
from cnntrain.reports.run_scores import build_weight_rows
from cnntrain.training.metrics import score_saved_predictions

SHORT = ("epochs=2", "dataset.limit=200", "batch_size=32", "augmentation=shift_flip")
FIGURES = {"augmentation", "confusion", "curves", "filters", "mistakes", "predictions"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a finished run of the command line, which tests do not change."""
    import sys

    folder = tmp_path_factory.mktemp("page")
    words = [sys.executable, "-m", "cnntrain", *SHORT, "hydra.run.dir=run"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    assert "report.html is missing" not in done.stderr
    return folder / "run"


def test_a_run_ends_with_a_page_and_figures(finished):
    page = (finished / "report.html").read_text()
    for part in (
        "lenet5 on digits", "Training curves", "Class by class", "The most confident mistakes",
        "Predictions", "Augmentation", "First-layer filters", "The network", "The spec",
        "Environment", "taken for", "61,706",
    ):  # fmt: skip
        assert part in page, part
    assert {file.stem for file in (finished / "figures").iterdir()} == FIGURES
    assert (finished / "report.html").stat().st_size < 5_000_000
    assert 'loading="lazy"' not in page  # it would leave grey boxes in print


def test_a_run_on_a_folder_is_named_after_it_and_its_classes(left_behind):
    words = ("dataset=image_folder", "dataset.folder=/home/me/photos")
    folder = left_behind("run", *words, class_names=["cats", "dogs"])
    assert "<h1>lenet5 on photos: cats, dogs</h1>" in write_run_report(folder).read_text()
    many = left_behind("many", *words, class_names=list("abcdefgh"))
    assert "<h1>lenet5 on photos: 8 classes</h1>" in write_run_report(many).read_text()


def test_a_page_fetches_nothing(finished):
    page = (finished / "report.html").read_text()
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?!data:)[\w/.:]""", page) == []
    assert re.findall(r"@import|url\(", page) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("size", ["1280,4000", "500,8000"])
def test_a_browser_draws_every_chart_without_an_error_or_a_request(finished, tmp_path, size):
    log = tmp_path / "net.json"
    words = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        "--virtual-time-budget=10000", f"--log-net-log={log}", f"--window-size={size}",
        "--dump-dom", f"file://{finished / 'report.html'}",
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert done.stdout.count("js-plotly-plot") >= 4
    assert "The chart is drawn by JavaScript" not in done.stdout
    origin = f"file://{finished}"
    urls = re.findall(r'"url":"((?:https?|file):[^"]*)"', log.read_text())
    own_hosts = ("google", "gvt1", "chrome")  # the browser itself asks these
    foreign = [url for url in urls if not url.startswith(origin)]
    assert [url for url in foreign if not any(host in url for host in own_hosts)] == []


def test_saved_predictions_have_the_reported_accuracy(finished):
    with np.load(finished / "predictions.npz", allow_pickle=False) as predictions:
        hits = predictions["classes"][:, 0] == predictions["labels"]
        assert (np.diff(predictions["probabilities"], axis=1) <= 0).all()
    report = json.loads((finished / "report.json").read_text())
    assert hits.mean() == pytest.approx(report["test"]["best"]["accuracy"])


def test_results_on_the_page_are_intervals_with_the_worst_classes(finished):
    page = (finished / "report.html").read_text()
    report = json.loads((finished / "report.json").read_text())
    images = json.loads((finished / "run.json").read_text())["data"]["sizes"]["test"]
    hits = round(report["test"]["best"]["accuracy"] * images)
    interval = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    assert f"95 % interval {interval.low:.4f} to {interval.high:.4f}; best epoch" in page
    for part in ("Recognised worst, by F1: ", "Confused most often: ", "calibration error is 0."):
        assert part in page, part


def test_a_run_without_the_number_of_its_test_images_has_no_interval():
    report = {"test": {"final": {"accuracy": 0.5, "loss": 1.0}}}
    assert build_weight_rows(report, None) == [["last epoch", "–", "–", "1.0000", "0.5000", "–"]]
    assert build_weight_rows(report, 100)[0][-1] == "0.4038 to 0.5962"
    views = {"views": "mirrored", "test_views": {"final": {"accuracy": 0.625}}}
    assert build_weight_rows(report | views, None)[0][-1] == "0.6250"


def test_a_report_needs_neither_tensorflow_nor_the_data(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "report.html").unlink()
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        f"from cnntrain.cli.report import main; main([{str(copy)!r}])"
    )
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert "Class by class" in (copy / "report.html").read_text()


def test_the_page_of_a_running_run_shows_its_progress(left_behind):
    folder = left_behind("a", "epochs=9", status="running")
    page = write_run_report(folder).read_text()
    assert "2 of 9 epochs" in page
    assert "the run is running." in page
    assert "Training curves" in page
    assert "Class by class" not in page


def test_the_page_of_a_run_without_an_epoch_says_so(left_behind):
    page = write_run_report(left_behind("a", accuracies=[], status="running")).read_text()
    assert "No epoch is over yet." in page


def test_the_page_of_a_failed_run_has_the_reason(left_behind):
    page = write_run_report(
        left_behind("a", status="failed", error="the loss is not finite")
    ).read_text()
    assert "the loss is not finite" in page
    assert "the run has failed." in page


def test_the_page_of_a_run_that_failed_in_its_first_epoch_says_so(left_behind):
    page = write_run_report(
        left_behind("a", "epochs=3000", accuracies=[], status="failed")
    ).read_text()
    assert "0 of 3,000 epochs; the run has failed." in page
    assert "No epoch was finished." in page


def test_names_of_classes_are_escaped_in_the_page(left_behind):
    evil = "</script><script>alert(1)</script>"
    folder = left_behind("a", class_names=[evil, "b"], error=evil)
    predictions = {
        "labels": np.array([0, 1]),
        "classes": np.array([[0, 1], [0, 1]]),
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2]], np.float32),
    }
    np.savez(folder / "predictions.npz", **predictions)
    page = write_run_report(folder).read_text()
    assert "Class by class" in page
    assert evil not in page


@pytest.mark.parametrize("name", ["predictions.npz", "pictures.npz"])
def test_damaged_pictures_are_left_out(finished, tmp_path, name):
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / name).write_bytes(b"PK\3\4 half")
    assert "Training curves" in write_run_report(copy).read_text()


def test_a_page_that_cannot_be_written_does_not_fail_the_run(finished, capsys, monkeypatch):
    from cnntrain.reports import run_page
    from cnntrain.running import run
    from cnntrain.runs.directory import Run

    def fail(folder):
        raise OSError("no space left on device")

    monkeypatch.setattr(run_page, "write_run_report", fail)
    run.write_run_page(Run(finished))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "no space left on device" in lines[0]


def test_scores_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    labels, guesses = random.integers(0, 3, 200), random.integers(0, 3, 200)
    predictions = {"labels": labels, "classes": guesses[:, np.newaxis]}
    scores = score_saved_predictions(predictions, 3)
    expected = classification_report(labels, guesses, output_dict=True)
    for name, f1, recall in zip("012", scores.f1, scores.recall, strict=True):
        assert f1 == pytest.approx(expected[name]["f1-score"])
        assert recall == pytest.approx(expected[name]["recall"])
    assert scores.confusion.sum() == 200


def test_a_class_without_images_has_a_row():
    predictions = {"labels": np.array([0, 0]), "classes": np.array([[0], [2]])}
    rows = score_saved_predictions(predictions, 4).list_rows(["a", "b", "c", "d"])
    assert [row["count"] for row in rows] == [2, 0, 0, 0]


def test_figures_of_a_run_are_valid_plotly():
    graph_objects = pytest.importorskip("plotly.graph_objects")
    rows = [{"epoch": e, "train.loss": 1 / e, "valid.loss": 2 / e} for e in (1, 2, 3)]
    keys = ["train.loss", "valid.loss", "train.objective"]
    matrix = np.array([[3, 1], [0, 4]])
    for figure in (
        charts.plot_over_epochs("loss", rows, keys, [2], 3),
        charts.plot_confusion(matrix, ["cat", "dog"]),
    ):
        graph_objects.Figure(json.loads(re.sub(r'"\$\w+"', '"#123456"', json.dumps(figure))))
    assert charts.plot_confusion(np.eye(1000), [*"abcdefghij"] * 100) is None


ODD = [
    "<b>x</b>", "a<br>b", "&amp;", "&lt;", "$accent", "%{x} %{z:d}", "x" * 120, "y" * 119 + "1",
    "y" * 119 + "2", "y" * 50 + "z" * 20 + "y" * 49 + "2", "1", "01", "plain",
]  # fmt: skip


def decode_as_plotly(label):
    """Return the text that plotly draws for a label, which has no tags or template fields."""
    assert not re.search(r"<|%\{|^\$", label)
    return html.unescape(label)


def test_names_of_classes_stay_different_and_short_in_a_chart():
    axis = charts.plot_confusion(np.eye(len(ODD), dtype=int), ODD)["data"][0]["y"]
    assert len(set(axis)) == len(ODD)
    for name, label in zip(ODD, axis, strict=True):
        drawn = decode_as_plotly(label)
        assert drawn == name if len(name) <= 24 else drawn.startswith(name[:15])
        assert len(drawn) < 30  # letters of 120 would leave no room for the numbers


def test_every_row_of_a_large_matrix_is_named():
    layout = charts.plot_confusion(np.eye(100, dtype=int), [f"class {n}" for n in range(100)])[
        "layout"
    ]
    assert layout["yaxis"]["dtick"] == 1
    assert layout["height"] >= 100 * 12
    assert layout["yaxis"]["tickfont"]["size"] <= 10


def test_names_that_look_like_formulas_are_not_parsed(tmp_path):
    from cnntrain.reports import figures

    for names in (["a$\\frac$b", "$x$"], [f"${n}\\frac$" for n in range(60)]):
        drawn = figures.draw_confusion_matrix(np.eye(len(names), dtype=int), names)
        figures.save_figure(
            drawn, tmp_path / "confusion.png"
        )  # matplotlib raises for such a formula


def test_the_page_names_the_files_of_mistakes(left_behind):
    folder = left_behind("a", class_names=["cat", "dog"])
    np.savez(
        folder / "predictions.npz",
        labels=np.array([0, 1]), classes=np.array([[1, 0], [1, 0]]),
        probabilities=np.array([[0.9, 0.1], [0.8, 0.2]], np.float32),
    )  # fmt: skip
    images = {"mistake_images": np.zeros((1, 4, 4, 3), np.uint8), "mistakes": np.array([0])}
    np.savez(folder / "pictures.npz", **images, mistake_files=np.array(["cat/<odd> 7.jpg"]))
    assert "cat/&lt;odd&gt; 7.jpg</small>" in write_run_report(folder).read_text()
    np.savez(folder / "pictures.npz", **images)  # as older runs, which recorded no files
    assert "The most confident mistakes" in write_run_report(folder).read_text()


def test_the_page_names_the_number_that_chose_the_best_epoch(left_behind):
    assert "Validation chose the best epoch;" in write_run_report(left_behind("a")).read_text()
    page = write_run_report(left_behind("b", "monitor=valid.loss")).read_text()
    assert "Validation chose the best epoch, by a valid.loss of 0.2500;" in page


def test_the_page_explains_the_speed_of_cached_features(left_behind):
    folder = left_behind("a")
    assert "computed once" not in write_run_report(folder).read_text()
    report = {"features_once": True, "images_per_second": 9000, "test": {}, "valid": {}}
    (folder / "report.json").write_text(json.dumps(report))
    assert (
        "images per second, above features of frozen layers" in write_run_report(folder).read_text()
    )


def test_the_page_says_what_an_image_takes_forward_and_backward(left_behind):
    folder = left_behind("a")
    report = {"images_per_second": 2000, "evaluation": {"images_per_second": 8000}}
    (folder / "report.json").write_text(json.dumps(report | {"test": {}, "valid": {}}))
    page = write_run_report(folder).read_text()
    assert re.search(r"forward, backward, update</td><td[^>]*>0\.500 ms an image", page)
    assert re.search(r"forward alone, in evaluation</td><td[^>]*>0\.125 ms an image", page)


def test_a_diagram_has_a_box_for_each_layer_and_labels_that_do_not_touch():
    layers = [
        {"layer": f"conv{n}", "kind": "Conv2D", "window": "3x3", "what": "Conv2D 3x3",
         "parameters": 9, "output": [224 >> n // 9, 224 >> n // 9, 16 << n // 9]}
        for n in range(40)
    ]  # fmt: skip
    diagram = build_diagram(layers)
    assert len(diagram["boxes"]) == 40
    heights = [box["height"] for box in diagram["boxes"]]
    assert heights == sorted(heights, reverse=True)
    # DejaVu Sans, which is wide, has letters of 7 units at this size.
    ends = [
        (label["x"] - 3.5 * len(label["text"]), label["x"] + 3.5 * len(label["text"]))
        for label in diagram["labels"]
    ]
    assert ends[0][0] >= 0
    assert ends[-1][1] <= diagram["width"]
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(ends))
    assert len(ends) == 5


def test_the_largest_point_of_a_reliability_diagram_has_room_at_accuracy_1():
    figure = charts.plot_reliability(compute_reliability(np.full(9, 0.99), np.full(9, True)))
    marker, (low, high) = figure["data"][1]["marker"], figure["layout"]["yaxis"]["range"]
    radius = np.sqrt(2 * max(marker["size"]) / marker["sizeref"]) / 2  # pixels, says plotly
    margin = figure["layout"]["margin"]
    pixels = figure["layout"]["height"] - margin["t"] - margin["b"]
    assert (high - 1) * pixels / (high - low) > radius
