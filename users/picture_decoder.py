"""A program of its own that makes a clean picture of an untrusted one; ``identity_images`` runs it.

Reads a PNG or JPEG from standard input. Writes ``FORMAT WIDTH HEIGHT``, a line break and the picture, encoded anew from
its points alone, so that nothing else that was in the file remains; or only a word that says what is wrong with it.
Limits itself before the picture is touched: a decoder's mistake then ends this process and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys

MEMORY = 768 * 1024 * 1024
SECONDS = 10
PIXELS = 25_000_000
LARGEST_OUTPUT = 12 * 1024 * 1024


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        # Not every system has each of them; the parent's own time limit holds everywhere.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def clean(data: bytes) -> bytes:
    from PIL import Image, ImageOps  # after the limits

    Image.MAX_IMAGE_PIXELS = None  # ours is stricter, and looked at before anything is decoded
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        form, (width, height) = image.format, image.size
        if width * height > PIXELS:
            return b"too_many_pixels"
        image.load()
        has_alpha = form == "PNG" and ("A" in image.getbands() or "transparency" in image.info)
        wanted = "L" if image.mode in ("1", "L") and not has_alpha else "RGBA" if has_alpha else "RGB"
        upright = ImageOps.exif_transpose(image)
    points = upright.convert(wanted)
    points.info.clear()
    out = io.BytesIO()
    if form == "PNG":
        points.save(out, "PNG")
    else:
        points.save(out, "JPEG", quality=92)
    if out.tell() > LARGEST_OUTPUT:
        return b"too_large"
    return f"{form} {points.width} {points.height}\n".encode() + out.getvalue()


def main() -> None:
    _limit()
    try:
        answer = clean(sys.stdin.buffer.read())
    except Exception:  # what is wrong with it may be anything, and the text of it may quote the picture
        answer = b"unreadable"
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
