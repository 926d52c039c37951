"""The examples of docs/serving.md, run as they stand there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
    (code,) = [block for block in blocks() if f"import {package}" in block]
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = [str(label) for label in digits.probabilities().argmax(axis=1)]
    assert ast.literal_eval(done.stdout) == expected
