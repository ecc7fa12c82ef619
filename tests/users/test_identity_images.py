"""Pictures of identity documents: decoded apart, kept encrypted, shown to nobody else."""

from __future__ import annotations

import base64
import io
import os
import socket
import stat
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.users.payloads import as_base64, data_uri, jpeg, noise_png, png
from users import identity_images, picture_decoder
from users.checks import identity_keys_are_keys
from users.identity_images import (
    LARGEST,
    Picture,
    StorageError,
    Unreadable,
    picture_keep,
    picture_open,
    picture_read,
    picture_remove,
    picture_renew,
)


def trouble(text: str) -> str:
    with pytest.raises(Unreadable) as caught:
        picture_read(text)
    return caught.value.code


@pytest.fixture
def keys(settings: Any, tmp_path: Path) -> list[str]:
    settings.VAR_DIR = tmp_path
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode()]
    return settings.IDENTITY_KEYS


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        data_uri(png()),
        data_uri(png()).replace("base64,", "base64,\r\n"),
        data_uri(png(), "image/jpeg"),
        "data:;base64," + as_base64(png()).rstrip("="),
        "DATA:image/png;BASE64," + as_base64(png()),
        "data:image/png," + urllib.parse.quote(png()),
        as_base64(png()),
        base64.urlsafe_b64encode(png()).decode().rstrip("="),
        base64.encodebytes(png()).decode(),
    ],
)
def test_a_picture_is_read_however_it_is_written(text: str) -> None:
    """Data URIs of either kind, and bare base64 of either alphabet, with and without padding or line breaks."""
    found = picture_read(text)
    assert (found.format, found.width, found.height) == ("PNG", 24, 16)


@pytest.mark.parametrize(
    "text", ["string", "https://example.org/a.png", "//10.0.0.1/x", "C:\\front.jpg", "aGVsbG8=", "ñ"]
)
def test_anything_else_is_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and addresses are left for people to read; no socket is opened and no file."""

    def forbidden(*args: Any, **options: Any) -> None:
        raise AssertionError("nothing is fetched")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    assert trouble(text) == "text"


@pytest.mark.parametrize(
    "data",
    [
        png()[:40],
        png(300, 300)[:-60],
        b"\xff\xd8\xff" + b"<script>alert(1)</script>" * 10,
        b"GIF89a" + b"0" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"",
    ],
    ids=["a head", "cut", "script", "gif", "svg", "nothing"],
)
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    """Cut, faked and foreign formats are told from pictures by decoding them."""
    assert trouble(data_uri(data)) == "unreadable"


def test_sizes_are_bounded() -> None:
    """Two mebibytes as it arrives, 25 megapixels decoded; just below is read, just above is not."""
    large = noise_png(860)
    assert len(large) > LARGEST
    assert trouble(data_uri(large)) == "too_large"
    assert trouble(as_base64(large)) == "too_large"
    assert picture_read(data_uri(png(5000, 5000, "RGBA"))).width == 5000
    assert trouble(data_uri(png(5001, 5000))) == "too_many_pixels"
    assert trouble("A" * 3_000_000) == "unreadable"


@pytest.mark.parametrize("cut", [1, 40])
def test_a_damaged_picture_is_no_text_to_keep(cut: int) -> None:
    """Base64 that was cut or spoilt is not taken for a text, which staff would read and the database keep in the clear."""
    encoded = base64.b64encode(noise_png(20)).decode()
    assert trouble(encoded[:-cut] + "=!==") == "unreadable"


def test_a_long_address_is_a_text() -> None:
    """A signed address looks much like base64, and is for staff to read all the same."""
    assert trouble("https://img.example/front.jpg?sig=" + "a1" * 100) == "text"


def test_a_picture_loses_everything_but_its_points() -> None:
    """Text, profiles and positions go, and so does whatever was hung behind the picture; it is turned upright first."""
    exif = Image.Exif()
    exif[0x010E] = "the secret of the metadata"
    exif[0x0112] = 6  # turned by a quarter
    found = picture_read(data_uri(jpeg(40, 20, exif=exif, comment=b"the secret of the comment") + b"<script>"))
    assert (found.format, found.width, found.height) == ("JPEG", 20, 40)
    assert b"secret" not in found.data
    assert b"script" not in found.data
    assert not Image.open(io.BytesIO(found.data)).getexif()
    text = PngInfo()
    text.add_text("Comment", "the secret of the text")
    out = io.BytesIO()
    Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(out, "PNG", pnginfo=text, dpi=(72, 72))
    found = picture_read(data_uri(out.getvalue()))
    assert b"secret" not in found.data
    again = Image.open(io.BytesIO(found.data))
    assert (again.info, again.getpixel((0, 0))) == ({}, (1, 2, 3, 4))


def test_the_decoder_s_memory_is_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A decoder that would take more than its limit ends, and the picture is unreadable; without the limit it is read."""
    source = Path(picture_decoder.__file__).read_text()
    hungry = tmp_path / "hungry.py"
    greed = "    kept = b'x' * (2 * MEMORY)\n    Image.MAX_IMAGE_PIXELS = None"
    hungry.write_text(source.replace("    Image.MAX_IMAGE_PIXELS = None", greed))
    monkeypatch.setattr(identity_images, "_DECODER", hungry)
    assert trouble(data_uri(png())) == "unreadable"
    hungry.write_text(
        hungry.read_text().replace("(resource.RLIMIT_AS, MEMORY),", "").replace("2 * MEMORY", "MEMORY // 2")
    )
    assert picture_read(data_uri(png())).width == 24


def test_a_decoder_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After its time the process is gone, and the picture is unreadable."""
    endless = tmp_path / "endless.py"
    endless.write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(identity_images, "_DECODER", endless)
    monkeypatch.setattr(identity_images, "SECONDS", 0.3)
    began = time.monotonic()
    assert trouble(data_uri(png())) == "unreadable"
    assert time.monotonic() - began < 10


def test_the_decoder_gets_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its environment holds nothing of ours."""
    teller = tmp_path / "teller.py"
    teller.write_text("import os, sys\nsys.stdout.write('PNG 1 1\\n' + repr(sorted(os.environ)))")
    monkeypatch.setattr(identity_images, "_DECODER", teller)
    monkeypatch.setenv("SECRET_KEY", "a secret")
    assert b"SECRET" not in picture_read(data_uri(png())).data


# --- Keeping ---------------------------------------------------------------------------------------------------------


def test_a_kept_picture_is_encrypted_and_private(keys: list[str], tmp_path: Path) -> None:
    """The file opens with the key alone, and only its owner may read it."""
    picture = picture_read(data_uri(png()))
    name = picture_keep(picture)
    (path,) = [one for one in (tmp_path / "identity").rglob("*") if one.is_file()]
    assert path.name == name
    assert b"PNG" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o700
    assert picture_open(name, picture.sha256) == picture.data
    picture_remove(name)
    picture_remove(name)
    with pytest.raises(StorageError, match="could not be read"):
        picture_open(name, picture.sha256)


def test_nothing_that_is_published_lies_beside_it(settings: Any) -> None:
    """The folder is neither in nor above what is served as static files."""
    static = Path(settings.STATIC_ROOT)
    assert not identity_images.folder().is_relative_to(static)
    assert not static.is_relative_to(identity_images.folder())


def test_keys_are_changed_without_losing_pictures(keys: list[str], settings: Any) -> None:
    """The first key encrypts, every key decrypts; without the old one what it encrypted cannot be opened."""
    picture = picture_read(data_uri(jpeg()))
    old = picture_keep(picture)
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode(), *keys]
    new = picture_keep(picture)
    assert picture_open(old, picture.sha256) == picture_open(new, picture.sha256) == picture.data
    settings.IDENTITY_KEYS = settings.IDENTITY_KEYS[:1]
    assert picture_open(new, picture.sha256) == picture.data
    with pytest.raises(StorageError, match="none of the IDENTITY_KEYS"):
        picture_open(old, picture.sha256)


@pytest.mark.parametrize("wrong", [[], ["too short"], ["x" * 44]])
def test_without_a_key_nothing_is_written(keys: list[str], settings: Any, wrong: list[str], tmp_path: Path) -> None:
    """No key, or a wrong one, and the picture is refused rather than kept in clear."""
    settings.IDENTITY_KEYS = wrong
    with pytest.raises(StorageError, match="IDENTITY_KEYS"):
        picture_keep(picture_read(data_uri(png())))
    assert list(tmp_path.iterdir()) == []
    assert bool(identity_keys_are_keys(None)) == bool(wrong)


def test_files_that_were_exchanged_are_not_shown(keys: list[str]) -> None:
    """Whoever swaps two files shows neither: each is held against its row."""
    one, two = picture_read(data_uri(png())), picture_read(data_uri(jpeg()))
    first, second = identity_images._path(picture_keep(one)), identity_images._path(picture_keep(two))
    os.replace(second, first)
    with pytest.raises(StorageError, match="not the one"):
        picture_open(first.name, one.sha256)


@pytest.mark.parametrize("name", ["../secret_key", "", "x" * 32, "/etc/passwd"])
def test_a_name_leads_nowhere_else(keys: list[str], name: str) -> None:
    """A name that is none of ours is no path."""
    with pytest.raises(StorageError, match="no name"):
        picture_open(name, "")


def test_a_full_disk_is_said_in_words(keys: list[str], tmp_path: Path) -> None:
    """Where the folder cannot be written, the picture is refused with the system's reason."""
    (tmp_path / "identity").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="could not be written"):
        picture_keep(Picture("PNG", 1, 1, b"x"))


def test_an_unfinished_renewal_leaves_the_picture(
    keys: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk refuses in the middle, the old file is still there, and no part of a new one."""
    picture = picture_read(data_uri(png()))
    name = picture_keep(picture)
    settings.IDENTITY_KEYS = [Fernet.generate_key().decode(), *keys]

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            picture_renew(name)
    assert [path.name for path in identity_images.folder().glob("??/*")] == [name]
    assert picture_open(name, picture.sha256) == picture.data
