"""`cnntrain export --format html`: the page in Chromium says what `cnntrain predict` says."""

import contextlib
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from cnntrain.errors import SpecError
from cnntrain.inference.classifier import open_classifier
from cnntrain.inference.convert import add_probabilities
from cnntrain.inference.export_formats import Labels
from cnntrain.runs.results import RunResult
from cnntrain.visualization.demo import page_format, translation
from cnntrain.visualization.demo.page import find_paper, make_title, write_demo_page
from cnntrain.visualization.demo.v8 import open_page, read_script, run_page
from helpers.browser import open_browser

# Waits until the answer has changed, and reads what the page shows.
READ_ANSWER = """
new Promise((resolve) => {
  const find = (id) => document.getElementById(id);
  const finish = () => {
    if (["waiting", "Looking …"].includes(find("answer").textContent)) return;
    const rows = [...find("classes").tBodies[0].rows];
    setTimeout(() => resolve({
      answer: find("answer").textContent, because: find("because").textContent,
      rows: rows.map((row) => [...row.cells].map((cell) => cell.innerText)),
      found: rows.filter((row) => row.className === "first").map((row) => row.cells[0].innerText),
      refused: find("classes").classList.contains("refused"),
      note: find("note").hidden ? "" : find("note").textContent,
      heat: find("heat-caption")?.textContent, pictures: document.querySelectorAll("img").length,
    }));
  };
  new MutationObserver(finish).observe(find("answer"), { childList: true });
  finish();
})
"""


@pytest.fixture(scope="module")
def export_page(tmp_path_factory):
    """Return a function that exports the page of a run, and returns its path and what is said."""
    pytest.importorskip("py_mini_racer")
    from cnntrain.cli.export import main

    def export(run, *words):
        page = tmp_path_factory.mktemp("pages") / "demo.html"
        with contextlib.chdir(run.parent):  # a run is mostly named from the working directory
            assert main([run.name, "--format", "html", f"--output={page}", "--json", *words]) == 0
        return page

    return export


@pytest.fixture(scope="module")
def page(digits, export_page):
    return export_page(digits.folder)


def show_file(browser, file):
    """Choose a file on the page, and return what the page shows then."""
    browser.run("document.getElementById('answer').textContent = 'waiting'")
    browser.choose_file("#file", file)
    return browser.run(READ_ANSWER)


def predict(verb, run, *files):
    """Return what `cnntrain predict --jsonl` says of files."""
    _, out, _ = verb("predict", run, *files, "--jsonl", "--top", "10")
    return [json.loads(line) for line in out.splitlines()]


def test_twenty_digits_are_classified_as_predict_does(verb, digits, page, pngs, tmp_path):
    files = sorted(pngs.glob("*/*.png"))[::15][:20]
    with open_browser(page, tmp_path / "profile") as browser:
        shown = [show_file(browser, file) for file in files]
        assert browser.errors == []
    assert len(shown) == 20
    for said, row in zip(shown, predict(verb, digits.folder, *files), strict=True):
        best = row["classes"][0]
        assert said["answer"] == f"{best['name']}, {100 * best['probability']:.2f} %"
        assert said["heat"].endswith(f"speaks for {best['name']}")
        expected = {c["name"]: f"{100 * c['probability']:.2f} %" for c in row["classes"]}
        assert {name: share for name, share, _ in said["rows"]} == expected


def test_the_page_is_one_file_that_asks_for_nothing(page):
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)\s*=\s*["']?(?!data:)\w""", text)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|import)\s*\(", text)
    assert len(text) < 500_000


def test_photos_are_seen_as_by_predict(verb, digits, page, tmp_path):
    """One is in colour and transparent in part, and one is a JPEG that lies on its side."""
    eight = Image.fromarray(digits.images[digits.labels == 8][0, ..., 0]).resize((47, 61))
    colored, on_side = Image.merge("RGBA", [eight, eight.rotate(90), eight, eight]), Image.Exif()
    on_side[0x0112] = 6
    files = [tmp_path / "photo.png", tmp_path / "photo.jpg"]
    colored.save(files[0])
    eight.rotate(90, expand=True).save(files[1], quality=95, exif=on_side)
    with open_browser(page, tmp_path / "profile") as browser:
        shown = [show_file(browser, file) for file in files]
    for said, row in zip(shown, predict(verb, digits.folder, *files), strict=True):
        shares = {name: float(share[:-2]) / 100 for name, share, _ in said["rows"]}
        for found in row["classes"]:
            assert abs(shares[found["name"]] - found["probability"]) < 0.01
    assert shown[1]["answer"].startswith("8, ")


def test_a_file_that_is_no_picture_leaves_no_answer_of_an_earlier_one(page, pngs, tmp_path):
    read = "document.querySelector('[aria-label=\"What the network says\"]').innerText"
    photo = sorted(pngs.glob("*/*.png"))[0]
    (tmp_path / "notes.txt").write_text("no picture")
    with open_browser(page, tmp_path / "profile") as browser:
        before = browser.run(read)
        seen = show_file(browser, photo), browser.run(read)
        said = show_file(browser, tmp_path / "notes.txt")
        after = browser.run(read)
        again = show_file(browser, photo), browser.run(read)
    assert said["note"].startswith("notes.txt is no picture that this browser can read (")
    assert said["note"].endswith("decoded).")
    assert before.split() == ["Nothing", "to", "see", "yet.", "class", "probability", *"0123456789"]
    assert "what speaks for" in seen[1]
    assert after == before
    assert again == seen
    assert again[0]["note"] == ""


def test_the_photo_that_was_given_last_is_answered(page, pngs, tmp_path):
    """Although one that was given earlier is decoded later."""
    slow = """
    const decode = createImageBitmap;
    window.decoded = 0;
    window.createImageBitmap = async (file, ...how) => {
      if (file.name.startsWith("slow")) await new Promise((go) => setTimeout(go, 300));
      window.decoded++;
      return decode(file, ...how);
    };
    """
    settled = """
    new Promise((go) => setInterval(() => window.decoded === 3 && setTimeout(go, 100), 20))
    """
    last = sorted(pngs.glob("7/*.png"))[0]
    shutil.copy(sorted(pngs.glob("0/*.png"))[0], tmp_path / "slow.png")
    (tmp_path / "slow.txt").write_text("no picture")
    with open_browser(page, tmp_path / "profile") as browser:
        expected = show_file(browser, last)
        browser.run(slow)
        for file in (tmp_path / "slow.png", tmp_path / "slow.txt", last):
            browser.choose_file("#file", file)
        browser.run(settled)
        assert browser.run(READ_ANSWER) == expected
        assert browser.errors == []


def test_a_drawing_is_classified_while_it_is_drawn(page, tmp_path):
    draw = """
    const canvas = document.getElementById("drawing"), box = canvas.getBoundingClientRect();
    canvas.setPointerCapture = () => {};
    const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
      clientX: box.left + x * box.width, clientY: box.top + y * box.height, buttons: 1,
    }));
    document.getElementById("answer").textContent = "waiting";
    send("pointerdown", 0.5, 0.15);
    for (let y = 0.15; y < 0.85; y += 0.05) send("pointermove", 0.5, y);
    send("pointerup", 0.5, 0.85);
    """
    press = """
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: KEY, cancelable: true }));
    """
    count = (
        "new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go("
        "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
        ".filter((x, i) => i % 4 === 0 && x === 255).length))))"
    )
    with open_browser(page, tmp_path / "profile") as browser:
        browser.run(draw)
        said = browser.run(READ_ANSWER)
        drawn = browser.run(count)
        browser.run("document.getElementById('clear').click()")
        cleared = browser.run(count), browser.run("document.getElementById('answer').textContent")
        for key in [" ", *["ArrowDown"] * 8]:
            browser.run(press.replace("KEY", json.dumps(key)))
        assert browser.run(count) > 0
        assert browser.errors == []
    assert said["answer"].startswith("1, ")
    assert drawn > 2000
    assert cleared == (0, "Nothing to see yet.")


@pytest.fixture(scope="module")
def calibrated(digits, tmp_path_factory):
    from cnntrain.cli.evaluate import main

    copy = shutil.copytree(digits.folder, tmp_path_factory.mktemp("calibrated") / "run")
    assert main([str(copy), "--calibrate"]) == 0
    return copy


@pytest.fixture(scope="module")
def calibrated_page(calibrated, export_page):
    return export_page(calibrated)


def test_a_calibrated_page_says_none_of_these(verb, calibrated, calibrated_page, pngs, tmp_path):
    noise = tmp_path / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(pixels).save(noise)
    files = [*sorted(pngs.glob("*/*.png"))[::75], noise]
    with open_browser(calibrated_page, tmp_path / "profile") as browser:
        shown = [show_file(browser, file) for file in files]
    for said, row in zip(shown, predict(verb, calibrated, *files), strict=True):
        assert said["answer"] == (" or ".join(row["set"]) or "none of these")
        shares = {name: share for name, share, _ in said["rows"]}
        assert shares == {c["name"]: f"{100 * c['probability']:.2f} %" for c in row["classes"]}
    assert shown[-1]["because"] == "The picture is unlike those of training."
    assert shown[-1]["found"] == []
    assert "would speak for" in shown[-1]["heat"]
    assert [said["refused"] for said in shown] == [said["found"] == [] for said in shown]


def test_unfamiliarity_is_that_of_the_calibration(digits, calibrated, calibrated_page):
    from cnntrain.inference.familiarity import build_scoring_network
    from cnntrain.runs.calibration import read_calibration

    calibration = read_calibration(calibrated, "best")
    scoring = build_scoring_network(digits.network(), calibration.bank)
    some = digits.images[:5]
    found = run_page(calibrated_page, "unfamiliarity")(some)
    expected = scoring.predict(some, verbose=0)[:, -1] / calibration.limit
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_several_labels_are_those_above_their_thresholds(digits, pngs, tmp_path):
    """The logits of a softmax stand for those of labels that are found each by itself."""
    page, names = tmp_path / "demo.html", [f"n{digit}" for digit in range(10)]
    files = [next(iter(sorted((pngs / str(digit)).iterdir()))) for digit in (1, 2, 7, 8)]
    images = np.stack([np.asarray(Image.open(file)) for file in files])[..., np.newaxis]
    exported = add_probabilities(digits.network(), "sigmoid")
    probabilities = exported.predict(images, verbose=0)["probabilities"]
    thresholds = np.full(10, 0.5)
    thresholds[7] = 1.5  # is never reached
    labels = Labels(names, thresholds.tolist())
    write_demo_page(open_classifier(str(digits.folder)), exported, labels, page, digits.images)
    with open_browser(page, tmp_path / "profile") as browser:
        shown = [show_file(browser, file) for file in files]
    expected = [[n for n, is_found in zip(names, row, strict=True) if is_found]
                for row in probabilities >= thresholds]  # fmt: skip
    assert [] in expected
    assert any(expected)
    assert [said["found"] for said in shown] == expected
    for said, found in zip(shown, expected, strict=True):
        assert set(said["answer"].split(", ")) == set(found or ["none of the labels"])


def test_names_of_classes_are_text(digits, tmp_path):
    names = ["</script><img src=x onerror=boom()>&amp;'\"", *"123456789"]
    page, exported = tmp_path / "demo.html", add_probabilities(digits.network())
    classifier = open_classifier(str(digits.folder))
    write_demo_page(classifier, exported, Labels(names), page, digits.images)
    assert json.loads(read_script(page.read_text(), "facts"))["class_names"] == names
    file = tmp_path / "zero.png"
    Image.fromarray(digits.images[digits.labels == 0][0, ..., 0]).save(file)
    with open_browser(page, tmp_path / "profile") as browser:
        said = show_file(browser, file)
        assert browser.errors == []
    assert said["rows"][0][0] == names[0]
    assert said["pictures"] == 0


def test_grad_cam_of_a_run_is_that_of_look(digits, page):
    import base64

    from cnntrain.visualization.grad_cam import compute_grad_cam
    from cnntrain.visualization.layer_outputs import find_last_feature_maps, list_layer_outputs

    network, image = digits.network(), digits.images[3]
    last = find_last_feature_maps(list_layer_outputs(network))
    with open_page(page) as call:
        text = call("computeHeat", base64.b64encode(image.tobytes()).decode(), 4)
    found = np.frombuffer(base64.b64decode(text), "<f4")
    expected = compute_grad_cam(network, image, last.name, 4).ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_a_network_that_is_too_large_is_refused(digits, monkeypatch):
    monkeypatch.setattr(page_format, "LARGEST_WEIGHTS", 1e5)
    with pytest.raises(SpecError, match=r"0\.3 MB of weights") as answer:
        page_format.make_page_format(open_classifier(str(digits.folder)))
    assert answer.value.hint == "--format onnx"


def test_a_layer_that_a_page_cannot_compute_leaves_no_file(refusal, digits, tmp_path, monkeypatch):
    pytest.importorskip("py_mini_racer")
    monkeypatch.delitem(translation.WRITERS, "Flatten")
    words = ("--format", "html", "--output", tmp_path / "demo.html")
    answer = refusal("export", digits.folder, *words)
    assert answer.given == "flatten of the network is a Flatten that a page cannot compute"
    assert list(tmp_path.iterdir()) == []


def test_photos_of_sixteen_bits_are_refused(digits, tmp_path):
    copy = shutil.copytree(digits.folder, tmp_path / "run")
    record = json.loads((copy / "run.json").read_text())
    record["data"]["value_range"] = [0, 4095]
    (copy / "run.json").write_text(json.dumps(record))
    with pytest.raises(SpecError, match="values of 0 to 4095, and browsers read 8 bits"):
        page_format.make_page_format(open_classifier(str(copy)))


@pytest.mark.parametrize(
    ("settings", "classes", "title"),
    [
        ({"dataset.folder": "/here/photos"}, ["cats", "dogs"], "photos: cats, dogs"),
        ({"dataset.table": "labels.csv"}, ["cats", "dogs"], "labels.csv: cats, dogs"),
        ({"dataset": "flowers17"}, [f"flower {n}" for n in range(17)], "flowers17: 17 classes"),
    ],
)
def test_the_title_says_what_the_network_tells_apart(tmp_path, settings, classes, title):
    assert make_title(RunResult(tmp_path, "finished", settings=settings), classes) == title


def test_paper_is_what_most_edges_have():
    images = np.full((10, 8, 8, 1), 230, np.uint8)
    images[:, 2:6, 2:6] = 0
    images[0] = 0
    assert find_paper(images) == 230
    assert find_paper(255 - images) == 25
