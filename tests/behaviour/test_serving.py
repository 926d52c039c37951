"""The examples of docs/serving.md, run as they stand there."""

import ast
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
FORMATS = {"tensorflow": "savedmodel", "onnxruntime": "onnx"}


def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_an_example_is_ten_lines_and_its_imports():
    for code in blocks():
        lines = [line for line in code.splitlines() if line and "import " not in line]
        assert len(lines) <= 10


@pytest.mark.slow
@pytest.mark.parametrize(("package", "format"), FORMATS.items())
def test_an_example_names_the_class_of_every_image(verb, digits, tmp_path, package, format):
    pytest.importorskip(package)
    output = {"savedmodel": "serving/digits", "onnx": "digits.onnx"}[format]
    assert f"--format {format} --output {output}" in PAGE.read_text(encoding="utf-8")
    (tmp_path / "serving").mkdir()
    assert verb("export", digits.folder, "--format", format, "--output", tmp_path / output)[0] == 0
    np.save(tmp_path / "images.npy", digits.images)
    named = [block for block in blocks() if f"import {package}" in block]
    (code,) = [block for block in named if "unfamiliarity" not in block]
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = [str(label) for label in digits.probabilities().argmax(axis=1)]
    assert ast.literal_eval(done.stdout) == expected


def test_the_example_of_a_calibrated_run_gives_the_sets_of_predict(verb, digits, pngs, tmp_path):
    pytest.importorskip("tf2onnx")
    run = shutil.copytree(digits.folder, tmp_path / "run")
    assert verb("evaluate", run, "--calibrate", "--coverage", "0.8")[0] == 0
    assert verb("export", run, "--format", "onnx", "--output", tmp_path / "digits.onnx")[0] == 0
    np.save(tmp_path / "images.npy", digits.images)
    (code,) = [block for block in blocks() if "unfamiliarity" in block]
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sets = ast.literal_eval(done.stdout)
    _, out, _ = verb("predict", run, pngs, "--jsonl")
    for row in map(json.loads, out.splitlines()):
        assert sets[int(row["image"][-7:-4])] == (sorted(row["set"]) or "none of these")
    assert sets.count("none of these") > 0


# the pixels that a server reads


def texture(seed: int, width: int, height: int) -> Image.Image:
    """A picture with fine detail, which looks another where it is not averaged."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def save(image: Image.Image, file: Path, **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, **options)


@pytest.fixture(scope="module")
def textures(training, tmp_path_factory):
    """A run that tells fine from coarse textures in JPEGs."""
    root = tmp_path_factory.mktemp("textures")
    for number in range(16):
        save(texture(number, 300, 260), root / "fine" / f"{number}.jpg", quality=90)
        coarse = texture(100 + number, 100, 90).resize((300, 260), Image.Resampling.BICUBIC)
        save(coarse, root / "coarse" / f"{number}.jpg", quality=90)
    words = ("dataset=image_folder", f"dataset.folder={root}", "dataset.cache=memory", "epochs=6")
    return training(*words, "dataset.image_size=[64,64]", "model=cnn_relu", "batch_size=8")


def photos_to_serve(folder: Path) -> list[Path]:
    """The same textures as a server gets them: JPEGs large and small, turned, PNGs, transparent."""
    exif = Image.Exif()
    exif[0x0112] = 6
    faded = texture(7, 600, 500).convert("RGBA")
    faded.putalpha(128)
    save(texture(1, 1200, 900), folder / "large.jpg", quality=90)
    save(texture(2, 1200, 900), folder / "large.png")
    save(texture(3, 130, 100), folder / "small.jpg", quality=90)
    save(texture(4, 800, 600), folder / "turned.jpg", quality=90, exif=exif)
    save(texture(5, 300, 300).convert("L"), folder / "grey.jpg", quality=90)
    save(texture(6, 300, 300).convert("CMYK"), folder / "print.jpg", quality=90)
    save(faded, folder / "faded.png")
    return sorted(folder.iterdir())


def test_a_server_with_pillow_sees_what_predict_sees(verb, textures, tmp_path, monkeypatch):
    from cnntrain.data.load import load_photo

    (code,) = [block for block in blocks() if "exif_transpose" in block]
    monkeypatch.chdir(tmp_path)
    files = photos_to_serve(tmp_path / "photos")
    exit_code, out, _ = verb("predict", textures.folder, *files, "--jsonl", "--top", 2)
    assert exit_code == 0
    rows, names = [json.loads(line) for line in out.splitlines()], ["coarse", "fine"]
    shares = [{part["name"]: part["probability"] for part in row["classes"]} for row in rows]
    expected = np.array([[share[name] for name in names] for share in shares])
    served = []
    for file in files:
        (tmp_path / "photo.jpg").write_bytes(file.read_bytes())
        exec(compile(code, str(PAGE), "exec"), {})
        served.append(np.load("images.npy")[0])
    off = abs(textures.probabilities(images=np.stack(served)) - expected).max(axis=1)
    assert off.max() < 0.01, [file.name for file in files]
    ours = np.stack([load_photo(file, (64, 64)) for file in files])
    np.testing.assert_allclose(textures.probabilities(images=ours), expected, atol=1e-6)


def test_a_picture_is_called_the_same_in_every_format(verb, textures, tmp_path):
    for number in range(8):
        file = io.BytesIO()
        texture(number, 900, 700).save(file, "JPEG", quality=90)
        (tmp_path / f"{number}.jpg").write_bytes(file.getvalue())
        Image.open(file).save(tmp_path / f"{number}.png")
    _, out, _ = verb("predict", textures.folder, tmp_path, "--jsonl", "--top", 1)
    rows = [json.loads(line)["classes"][0] for line in out.splitlines()]
    for jpeg, png in zip(rows[::2], rows[1::2], strict=True):
        assert jpeg["name"] == png["name"]
        assert abs(jpeg["probability"] - png["probability"]) < 0.01


def test_load_photo_says_why_a_photo_cannot_be_used(tmp_path):
    from cnntrain.data.load import load_photo
    from cnntrain.errors import SpecError

    with pytest.raises(SpecError, match="it is empty"):
        load_photo(b"", (8, 8))
    with pytest.raises(SpecError, match=r"nothing\.jpg cannot be used: No such file"):
        load_photo(tmp_path / "nothing.jpg", (8, 8))
    with pytest.raises(SpecError, match="value_range is auto"):
        load_photo(png_of(Image.new("L", (9, 5), 7)), (8, 8), value_range="auto")
    grey = load_photo(png_of(Image.new("L", (9, 5), 7)), (4, 8), channels=1, resize="pad")
    assert grey.shape == (4, 8, 1)


def png_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
