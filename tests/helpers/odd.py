"""Files as people's folders have them: some are unusual, and some are broken."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def picture(seed: int = 0, width: int = 48, height: int = 32) -> Image.Image:
    """Return a smooth colour image with different corners; each seed gives another."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int, kind: str = "JPEG", **options) -> bytes:
    """Return `picture()` as a camera held at an angle stores it, upright only by its EXIF."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = picture()
    if orientation in back:
        image = image.transpose(back[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, kind, exif=exif, **options)


def png(width: int, height: int, bits: int, rows: bytes) -> bytes:
    """Return a PNG in colour from rows of bytes that begin with a zero."""
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def bomb() -> bytes:
    """Return a few bytes whose header claims a huge image."""
    return png(50_000, 50_000, 8, bytes(1000))


def deep(image: Image.Image) -> bytes:
    """Return a PNG in colour with 16 bits a channel, which Pillow cannot write."""
    pixels = np.asarray(image).astype(">u2") * 257
    return png(*image.size, 16, b"".join(b"\0" + row.tobytes() for row in pixels))


def whole() -> dict[str, bytes]:
    """Return odd files that show what `picture()` shows: name -> content."""
    image, rgba = picture(), picture().convert("RGBA")
    other = picture(1)
    palette = image.quantize(64)
    jpeg = encoded(image, quality=95)
    damaged_exif = jpeg[:2] + b"\xff\xe1\x00\x10Exif\0\0garbage!" + jpeg[2:]
    return {
        "animated.gif": encoded(image, "GIF", save_all=True, append_images=[other, other]),
        "still.gif": encoded(image, "GIF"),
        "print.jpg": encoded(image.convert("CMYK"), quality=95),
        "stereo.jpg": encoded(image, "MPO", save_all=True, append_images=[other], quality=95),
        "progressive.jpg": encoded(image, quality=95, progressive=True),
        "damaged_exif.jpg": damaged_exif,
        "deep.png": deep(image),
        "palette.png": encoded(palette, "PNG"),
        "opaque_palette.png": encoded(palette, "PNG", transparency=bytes([255] * 64)),
        "alpha.png": encoded(rgba, "PNG"),
        "really_a_png.jpg": encoded(image, "PNG"),
        "really_a_jpeg.txt": jpeg,
        "no_suffix": jpeg,
        "scan.tiff": encoded(image, "TIFF"),
        "packed.tiff": encoded(image, "TIFF", compression="tiff_lzw"),
        "new.webp": encoded(image, "WEBP", lossless=True),
        "old.bmp": encoded(image, "BMP"),
        "two\nlines.png": encoded(image, "PNG"),
        "катинка 猫 🐈.png": encoded(image, "PNG"),
        **{f"held_{n}.jpg": turned(n, quality=95) for n in range(1, 9)},
        **{f"held_{n}.png": turned(n, "PNG") for n in range(1, 9)},
        **{f"held_{n}.tiff": turned(n, "TIFF") for n in range(1, 9)},
        **{f"held_{n}.webp": turned(n, "WEBP", lossless=True) for n in range(1, 9)},
    }


def grey() -> dict[str, bytes]:
    """Return odd files that show what `picture()` shows in grey or black and white."""
    image = picture().convert("L")
    deep = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    return {
        "grey.jpg": encoded(image, quality=95),
        "deep_grey.png": encoded(deep, "PNG"),
        "deep_grey.tiff": encoded(deep, "TIFF"),
        "grey_alpha.png": encoded(image.convert("LA"), "PNG"),
    }


def broken() -> dict[str, tuple[bytes, str]]:
    """Return files that are no whole images: name -> content, and part of the error message."""
    jpeg = encoded(picture(2, 200, 150), quality=95)
    drawing = encoded(picture(3, 200, 150), "PNG")
    return {
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "all_but_the_end.jpg": (jpeg[:-2], "truncated"),
        "only_a_header.jpg": (jpeg[:300], "truncated"),
        "half.png": (drawing[: len(drawing) // 2], "truncated"),
        "damaged.png": (drawing[:200] + bytes(20) + drawing[220:], "broken"),
        "empty.jpg": (b"", "empty"),
        "notes.jpg": (b"These are no pixels.\n", "no image of a known format"),
        "notes.txt": (b"cats: 12\n", "no image of a known format"),
        "bomb.png": (bomb(), "exceeds limit"),
        "film.tiff": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "32 bits"),
    }


def special(folder: Path) -> dict[str, str]:
    """Make entries that are no ordinary files in a folder; return name -> part of the message."""
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "nowhere.jpg").symlink_to("there is nothing.jpg")
    (folder / "up").symlink_to("..")
    (folder / "far_up").symlink_to("/")
    os.mkfifo(folder / "pipe.jpg")
    with (folder / "film.avi").open("wb") as file:
        file.truncate(2**28 + 1)
    return {
        "itself.jpg": "symbolic links",
        "nowhere.jpg": "No such file",
        "up": "a link to a folder that it lies in",
        "far_up": "a link to a folder that it lies in",
        "pipe.jpg": "no ordinary file",
        "film.avi": "too large for a photo",
    }


def litter(folder: Path) -> None:
    """Make files that operating systems leave in folders, and that no message should mention."""
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._cat.jpg"):
        (folder / name).write_bytes(b"litter")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._cat.jpg").write_bytes(b"litter")
