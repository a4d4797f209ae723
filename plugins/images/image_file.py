"""One image file of the user's: opened without trust, and refused where reading it would change or lose something."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".pnm")
# Pillow knows more, some of which start other programs (EPS).
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA")
# Of 16 bits in each channel, which Pillow would cut to 8 in silence.
_DEEP = ("L;16", "LA;16", "RGB;16", "RGBA;16", "RGBX;16")


def channels_of(path: Path) -> int:
    """Return 1 for a grey image and 3 for one in colour, by its head.

    Raises HarnessError for a file that is no image, has more than 8 bits per channel, several frames, or so many pixels
    that it may be a bomb. Not for use by several threads at once.
    """
    from PIL.Image import DecompressionBombWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", DecompressionBombWarning)
        with _opened(path) as image:
            _check_kind(path, image)
            return 1 if image.mode in _GREY else 3


def read_image(path: Path, channels: int) -> Image:
    """Return the image as it is looked at: upright by its EXIF orientation, grey (1 channel) or RGB (3 channels).

    Raises HarnessError for a file that is damaged or has transparent pixels.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        _check_kind(path, image)
        image.load()
        upright = ImageOps.exif_transpose(image)
        if _is_transparent(upright):
            raise _refusal(path, "it has transparent pixels", "flatten it")
        return upright.convert("L" if channels == 1 else "RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """Open *path*; whatever goes wrong in the block is told as one line."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with Pillow.open(path, formats=_FORMATS) as image:
            yield image
    except (HarnessError, MemoryError):
        raise
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise _refusal(path, f"it has more than {Pillow.MAX_IMAGE_PIXELS or 0:,} pixels", "scale it down") from error
    except UnidentifiedImageError as error:
        raise _refusal(path, "it is none, or a damaged one", "replace or remove it") from error
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise _refusal(path, reason, "replace or remove it") from error


def _check_kind(path: Path, image: Image) -> None:
    if image.mode.startswith(("I", "F")) or _raw_mode(image).startswith(_DEEP):
        raise _refusal(path, "it has more than 8 bits per channel", "choose a window and save it with 8 bits")
    if image.mode not in _GREY + _COLOUR:
        raise _refusal(path, f"its colours are {image.mode}", "save it as grey or RGB")
    # Of an MPO, a camera's JPEG, the first is the picture and the others are previews.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise _refusal(path, f"it has {frames} frames", "save each as a file of its own")


def _raw_mode(image: Image) -> str:
    """Return how the pixels are stored, such as "RGB;16B"."""
    tiles = getattr(image, "tile", None) or [(None, None, None, "")]
    stored = tiles[0][3]
    return str(stored[0]) if isinstance(stored, tuple) and stored else str(stored)


def _is_transparent(image: Image) -> bool:
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return False
    extrema = image.convert("RGBA").getchannel("A").getextrema()
    return extrema[0] != 255


def _refusal(path: Path, reason: str, way_out: str) -> HarnessError:
    return HarnessError(f"{str(path)!r} cannot be used as an image: {reason}; {way_out}")
