"""Image files of one's own: read as they are looked at, or refused with one line that names the path."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_folders import made_up_image, save
from PIL import Image

from harness.errors import HarnessError
from harness.plugins.images.image_file import channels_of, read_image


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def frames(path: Path) -> None:
    first, second = made_up_image(seed=1), made_up_image(seed=2)
    first.save(path, "GIF", save_all=True, append_images=[second])


def half_transparent(path: Path) -> None:
    image = made_up_image("RGBA")
    image.putalpha(128)
    image.save(path)


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "cannot be used as an image: "),
        (flip, "cannot be used as an image: "),
        (write(b""), "it is none, or a damaged one; replace or remove it"),
        (write(b"<html>"), "it is none, or a damaged one"),
        (write(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "it is none, or a damaged one"),
        (write(png(2, 1, 16, 0, b"\0" + b"\1\2" * 2)), "it has more than 8 bits per channel; choose a window"),
        (write(png(2, 1, 16, 2, b"\0" + b"\1\2" * 6)), "it has more than 8 bits per channel; choose a window"),
        (write(png(10_000, 10_000, 8, 0, b"")), "it has more than 89,478,485 pixels; scale it down"),
        (write(png(60_000, 60_000, 8, 0, b"")), "it has more than 89,478,485 pixels; scale it down"),
        (frames, "it has 2 frames; save each as a file of its own"),
        (half_transparent, "it has transparent pixels; flatten it"),
        (
            lambda path: made_up_image().convert("CMYK").save(path, "TIFF"),
            "its colours are CMYK; save it as grey",
        ),
        (lambda path: path.unlink(), "No such file or directory"),
    ],
    ids=[
        *("truncated", "flipped", "empty", "web-page", "program", "16-bit-grey", "16-bit-colour", "large", "bomb"),
        *("frames", "transparent", "cmyk", "missing"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # not by the tests' own strictness
def test_unusable_image_is_one_line_with_its_path(damage: Callable[[Path], object], told: str) -> None:
    path = save("scan.png", made_up_image(size=(60, 60)))
    damage(path)
    with pytest.raises(HarnessError) as refused:
        channels_of(path)
        read_image(path, 3)

    assert str(refused.value).startswith("'scan.png' cannot be used as an image: ")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)])
def test_channels_are_known_by_the_head(mode: str, channels: int) -> None:
    path = save("scan.png", made_up_image("RGB").convert(mode))

    assert channels == channels_of(path)
    assert {1: "L", 3: "RGB"}[channels] == read_image(path, channels).mode


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "gif", "pgm"])
def test_grey_pixels_are_as_stored_in_every_lossless_format(ending: str) -> None:
    image = made_up_image()
    path = save(f"scan.{ending}", image)

    np.testing.assert_array_equal(np.asarray(image), np.asarray(read_image(path, 1)))


def test_grey_image_among_coloured_ones_has_its_grey_in_all_channels() -> None:
    image = made_up_image()
    red, green, blue = read_image(save("scan.png", image), 3).split()

    assert image.tobytes() == red.tobytes() == green.tobytes() == blue.tobytes()


def test_photo_is_turned_upright_as_viewers_show_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = save("photo.png", made_up_image(size=(12, 10)), exif=exif)

    expected = made_up_image(size=(12, 10)).transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(np.asarray(expected), np.asarray(read_image(path, 1)))


def test_opaque_alpha_is_dropped() -> None:
    image = made_up_image("RGB")
    opaque = image.copy()
    opaque.putalpha(255)

    assert image.tobytes() == read_image(save("scan.png", opaque), 3).tobytes()
