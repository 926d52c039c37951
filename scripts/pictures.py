"""Make the pictures of the documentation, docs/pictures/: `make pictures`.

Commands are run in a pseudo-terminal, and what they print becomes an SVG. The pages that they write
are opened by Chromium, which has to be installed, and become PNGs. Nothing is fetched, and no image
of a data set is shown but scikit-learn's digits: other photos are shapes that are drawn here. The
proposal of `cnntrain fit` is of the photos in `--photos`, of which it shows numbers only; without
them its picture stays as it is.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from rich.console import Console
from rich.text import Text

OUTPUT = Path(__file__).parent.parent / "docs" / "pictures"
ROWS = 60  # of the terminal, more than any picture has
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--hide-scrollbars", "--virtual-time-budget=10000",
)  # fmt: skip
LIVE_END = "left"  # of the line that is drawn anew while a network trains
COLORS = 128  # of a PNG: screenshots need no more, and are a third of the size
SHAPES = {"circle": "crimson", "square": "gold", "triangle": "royalblue"}
# What moves the cursor in the output of rich, which always draws whole lines.
CONTROL = re.compile(r"(\r|\n|\x1b\[\d*A|\x1b\[2K|\x1b\[\?25[lh])")
# As rich's own, but with fonts of the system: its own asks a server for one.
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font: bold 18px Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder of photos for each class, for fit")
    parser.add_argument("--weights", type=Path, help="weights that Keras publishes, for fit")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures_") as name:
        folder = Path(name)
        draw_training(folder)
        draw_pages(folder)
        draw_sweep(folder)
        draw_data_doctor(folder)
        if arguments.photos:
            draw_proposal(folder, arguments.photos.absolute(), arguments.weights)


def draw_training(folder: Path) -> None:
    """A training in the terminal, halfway and at its end."""
    command, epochs = ["cnntrain", "epochs=16", "batch_size=32"], 16
    output = run_in_terminal(command, folder, 122)
    half = find_nth(output, "valid loss", epochs // 2)
    live = output.rindex(LIVE_END, 0, half) + len(LIVE_END)
    save_terminal("training_live", command, output[:live], 122)
    save_terminal("training", command, output, 122)


def draw_pages(folder: Path) -> None:
    """The page of the run that `make train` makes, a look into it, and a page to play with."""
    run = folder / "outputs" / "first"
    words = ["epochs=60", "augmentation=shift_flip", "augmentation.flip=0"]
    run_quietly(["cnntrain", *words, f"hydra.run.dir={run}"], folder)
    save_page("report", run / "report.html", 1100, 1980)
    run_quietly(["cnntrain", "look", str(run), "--test", "3"], folder)
    (look,) = run.rglob("look.html")
    save_page("look", look, 1100, 2440)
    demo = folder / "demo.html"
    run_quietly(["cnntrain", "export", str(run), "--format", "html", "--output", str(demo)], folder)
    draw_by_keyboard(demo)
    save_page("demo", demo, 900, 1000)


def draw_sweep(folder: Path) -> None:
    """The table at the end of a sweep in the terminal, and its page."""
    command = ["cnntrain", "-m", "initializer=zeros,glorot_uniform,he_normal", "epochs=5"]
    save_terminal("sweep", command, run_in_terminal(command, folder, 100), 100)
    (sweep,) = (folder / "outputs").glob("*_sweep")
    save_page("sweep_page", sweep / "sweep.html", 1100, 1500)


def draw_data_doctor(folder: Path) -> None:
    """The page of `cnntrain data verify`, of shapes with faults, and of networks that saw them."""
    draw_shapes(folder / "photos")
    photos = ["dataset=image_folder", "dataset.folder=photos", "dataset.image_size=[32,32]"]
    runs = ["dataset.split_seed=0,1", "dataset.valid=0.5", "hydra.sweep.dir=judges"]
    run_quietly(["cnntrain", "-m", *photos, *runs, "model=cnn_relu", "epochs=30"], folder)
    flags = ["--run", "judges", "--output", "checked"]
    run_quietly(["cnntrain", "data", "verify", "image_folder", *photos[1:], *flags], folder)
    save_page("data_doctor", folder / "checked" / "data.html", 1100, 1570)


def draw_proposal(folder: Path, photos: Path, weights: Path | None) -> None:
    """The proposal of `cnntrain fit` in the terminal."""
    place = folder / "fit"
    place.mkdir()
    (place / "photos").symlink_to(photos)
    words = []
    if weights:
        (place / "weights").symlink_to(weights.absolute())
        words = ["weights_dir=weights"]
    command = ["cnntrain", "fit", "photos", *words, "--dry-run"]
    save_terminal("fit", command, run_in_terminal(command, place, 110), 110)


def find_nth(text: str, part: str, number: int) -> int:
    """Return where `part` stands in a text for the `number`th time, counted from 1."""
    return [found.start() for found in re.finditer(re.escape(part), text)][number - 1]


# Terminals


def run_in_terminal(command: Sequence[str], folder: Path, columns: int) -> str:
    """Return what a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    usual = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        find_program(command), cwd=folder, env={**usual, "TERM": "xterm-256color"},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 2**16):
            parts.append(part)
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(ours)
    output = b"".join(parts).decode()
    if process.wait():
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return output


def run_quietly(command: Sequence[str], folder: Path) -> None:
    """Run a command that is no picture; one that finds faults ends with 1."""
    done = subprocess.run(find_program(command), cwd=folder, capture_output=True, text=True)
    if done.returncode > 1:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


def find_program(command: Sequence[str]) -> list[str]:
    """Return a command of cnntrain as one of this Python."""
    return [sys.executable, "-m", *command]


def render_screen(output: str) -> list[str]:
    """Return the lines that a terminal shows after `output`, with their colours."""
    lines, row, is_begin = [""], 0, True
    for part in CONTROL.split(output):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and CONTROL.fullmatch(part):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part and not CONTROL.fullmatch(part):
            lines[row] = part if is_begin else lines[row] + part
        if part:
            is_begin = part == "\r" or (is_begin and bool(CONTROL.fullmatch(part)))
    return lines


def save_terminal(name: str, command: Sequence[str], output: str, columns: int) -> None:
    """Draw a command and what it wrote to a terminal, as an SVG."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {' '.join(command)}", "bold"), soft_wrap=True)
    for line in map(Text.from_ansi, "\n".join(render_screen(output)).rstrip().split("\n")):
        for part in line.divide(range(columns, len(line), columns)):  # as a terminal breaks it
            console.print(part, soft_wrap=True)
    console.print()  # the window cuts letters that reach below its last line
    file = OUTPUT / f"{name}.svg"
    svg = console.export_svg(title="", code_format=SVG, unique_id=name)
    file.write_text("".join(f"{line.rstrip()}\n" for line in svg.splitlines()), encoding="utf-8")
    print(f"{file.stat().st_size:,} bytes in {file}")


# Pages


def save_page(name: str, page: Path, width: int, height: int) -> None:
    """Save the top of a page as a PNG of few colours."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        sys.exit(f"none of {', '.join(CHROMIUM)} is installed")
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "shot.png"
        places = (f"--user-data-dir={profile}/chromium", f"--screenshot={shot}")
        size = f"--window-size={width},{height}"
        command = [program, *FLAGS, *places, size, page.absolute().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        picture = Image.open(shot).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    file = OUTPUT / f"{name}.png"
    picture.save(file, optimize=True)
    print(f"{file.stat().st_size:,} bytes in {file}")


def draw_by_keyboard(page: Path) -> None:
    """Let a page draw a seven on itself by its own keys, as its user would."""
    stroke = ["ArrowRight"] * 12 + (["ArrowDown"] * 2 + ["ArrowLeft"]) * 9
    keys = ["ArrowLeft"] * 7 + ["ArrowUp"] * 9 + [" ", *stroke, " "]
    script = f"""<script>
    for (const key of {keys}) {{
      document.getElementById("drawing").dispatchEvent(new KeyboardEvent("keydown", {{key}}));
    }}
    </script>"""
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")


# Images


def draw_shapes(folder: Path) -> None:
    """Draw 40 photos of each shape, and some with faults that `data verify` finds."""
    random = np.random.default_rng(0)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for number in range(40):
            draw_shape(shape, random).save(folder / shape / f"{number}.png")
    wrong = folder / "circle" / "40.png"
    draw_shape("triangle", random).save(wrong)
    copied = Image.open(folder / "square" / "3.png")
    copied.resize((80, 80)).save(folder / "square" / "copy.jpg", quality=60)
    blurred = Image.open(folder / "triangle" / "5.png").filter(ImageFilter.GaussianBlur(6))
    blurred.save(folder / "triangle" / "blurred.png")
    Image.new("RGB", (96, 96), "navy").save(folder / "circle" / "empty.png")


def draw_shape(shape: str, random: np.random.Generator) -> Image.Image:
    """Return a photo (96, 96) of a shape, of the colour of its class, on a mottled background."""
    ground = random.integers(0, 256, (7, 7, 3), np.uint8)
    mottled = np.asarray(Image.fromarray(ground).resize((96, 96), Image.Resampling.BICUBIC))
    grain = random.normal(0, 12, (96, 96, 3))
    image = Image.fromarray(np.clip(0.7 * mottled + 30 + grain, 0, 255).astype(np.uint8))
    x, y, radius = *random.integers(34, 62, 2), random.integers(20, 34)
    box = [int(x - radius), int(y - radius), int(x + radius), int(y + radius)]
    draw, color = ImageDraw.Draw(image), SHAPES[shape]
    if shape == "circle":
        draw.ellipse(box, color)
    elif shape == "square":
        draw.rectangle(box, color)
    else:
        draw.regular_polygon((int(x), int(y), int(radius)), 3, fill=color)
    return image


if __name__ == "__main__":
    main()
