"""Pictures of identity documents: read from text, decoded apart, and kept encrypted.

A picture arrives as a data URI or as base64. Anything else (an address, a file's name) is text for people to read; nothing
here ever fetches it. The decoding happens in a process of its own, with limits (``picture_decoder``). Files lie in
``VAR_DIR/identity``, which nothing publishes, each under a name that says nothing, encrypted by ``IDENTITY_KEYS``: the
first key encrypts, every key decrypts.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

LARGEST = 2 * 1024 * 1024
"""Bytes of a picture as it arrives."""

SECONDS = 20.0
"""For decoding one picture, the start of the process included."""

MIME_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_DECODER = Path(__file__).with_name("picture_decoder.py")
_DATA_URI = re.compile(r"\s*data:(?P<type>[^,]{0,200}),", re.IGNORECASE)
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{80}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*\Z")
# So many characters that are no picture are not a name or an address either.
_LONGEST_TEXT = 2000


class StorageError(Exception):
    """A picture cannot be kept or shown; the message says why, without a word of what is in it."""


class Unreadable(Exception):
    """What arrived is no usable picture: ``code`` is ``unreadable``, ``too_large``, ``too_many_pixels`` or ``text``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Picture:
    """A clean picture: PNG or JPEG, without metadata."""

    format: str
    width: int
    height: int
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


# --- From text to a picture ----------------------------------------------------------------------------------------


def picture_read(text: str) -> Picture:
    """The picture in a data URI or in base64.

    :raises Unreadable: it is none; the code ``text`` means that it does not even pretend to be one.
    """
    return picture_clean(_bytes_in(text))


def _bytes_in(text: str) -> bytes:
    # Three bytes are four characters, or up to nine where each is written with a percent sign.
    if match := _DATA_URI.match(text):
        rest = text[match.end() :]
        if ";base64" in match["type"].lower():
            data = _from_base64(rest)
        else:
            data = urllib.parse.unquote_to_bytes(rest[: 3 * LARGEST + 3]) if rest.isascii() else None
        if data is None:
            raise Unreadable("unreadable")
    else:
        bare = _from_base64(text)
        if bare is None or not bare.startswith(_SIGNATURES):
            # A damaged picture is no text to keep: its beginning would stand in the clear.
            is_text = len(text) <= _LONGEST_TEXT and ("://" in text[:20] or not _ENCODED.search(text))
            raise Unreadable("text" if is_text else "unreadable")
        data = bare
    if len(data) > LARGEST:
        raise Unreadable("too_large")
    if not data.startswith(_SIGNATURES):
        raise Unreadable("unreadable")
    return data


def _from_base64(text: str) -> bytes | None:
    """Decoded, in either alphabet, with or without padding; cut just above ``LARGEST``; None if it is not base64."""
    head = "".join(text[: LARGEST * 2].split())
    if not head or not _BASE64.fullmatch(head):
        return None
    whole = head.rstrip("=").translate(str.maketrans("-_", "+/"))[: (LARGEST + 3) // 3 * 4]
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def picture_clean(data: bytes) -> Picture:
    """Decode and encode anew, in a process of its own.

    :raises Unreadable: it cannot be decoded within the limits.
    """
    try:
        done = subprocess.run(  # noqa: S603  our own program, and the picture is its input alone
            [sys.executable, "-I", str(_DECODER)],
            input=data,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={"PATH": os.defpath},  # none of our secrets
        )
    except subprocess.TimeoutExpired:
        raise Unreadable("unreadable") from None
    head, newline, body = done.stdout.partition(b"\n")
    words = head.split(b" ")
    if done.returncode != 0 or not newline or len(words) != 3 or words[0].decode("ascii", "replace") not in MIME_TYPES:
        known = ("too_many_pixels", "too_large")
        said = done.stdout[:40].decode("ascii", "replace")
        raise Unreadable(said if said in known else "unreadable")
    return Picture(words[0].decode(), int(words[1]), int(words[2]), body)


# --- Kept, encrypted -----------------------------------------------------------------------------------------------


def folder() -> Path:
    return Path(settings.VAR_DIR) / "identity"


def _path(name: str) -> Path:
    """Where a file lies; its name is ours, and anything else is refused."""
    if not re.fullmatch(r"[0-9a-f]{32}", name):
        raise StorageError("this is no name of a kept picture")
    return folder() / name[:2] / name


def _keys() -> MultiFernet:
    if not settings.IDENTITY_KEYS:
        raise StorageError("IDENTITY_KEYS is not set")
    try:
        return MultiFernet([Fernet(key) for key in settings.IDENTITY_KEYS])
    except (ValueError, TypeError):
        raise StorageError("IDENTITY_KEYS holds what is no key") from None


def picture_keep(picture: Picture) -> str:
    """Encrypt and store a picture; returns its name.

    :raises StorageError: there is no key, or the disk refuses.
    """
    encrypted = _keys().encrypt(picture.data)
    name = uuid.uuid4().hex
    path = _path(name)
    try:
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write(path, encrypted)
    except OSError as error:
        raise StorageError(f"the file could not be written: {error.strerror}") from None
    return name


def _write(path: Path, data: bytes) -> None:
    """The whole file or none of it, for its owner alone."""
    unfinished = path.with_name(uuid.uuid4().hex)
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def picture_open(name: str, sha256: str) -> bytes:
    """A kept picture, decrypted.

    :raises StorageError: the file is missing, no key opens it, or it is not the picture that was kept under this name.
    """
    try:
        data = _keys().decrypt(_path(name).read_bytes())
    except OSError as error:
        raise StorageError(f"the file could not be read: {error.strerror}") from None
    except InvalidToken:
        raise StorageError("none of the IDENTITY_KEYS opens it") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StorageError("the file is not the one that was kept")
    return data


def picture_renew(name: str) -> bool:
    """Encrypt a kept picture with the first of the keys; False where it is already.

    :raises StorageError: no key opens it, or the disk refuses.
    """
    path = _path(name)
    keys = _keys()
    try:
        encrypted = path.read_bytes()
        try:
            Fernet(settings.IDENTITY_KEYS[0]).decrypt(encrypted)
            return False
        except InvalidToken:
            _write(path, keys.rotate(encrypted))
    except InvalidToken:
        raise StorageError("none of the IDENTITY_KEYS opens it") from None
    except OSError as error:
        raise StorageError(f"the file could not be renewed: {error.strerror}") from None
    return True


def pictures_kept_before(moment: float) -> Iterator[str]:
    """The names of the files written before ``moment`` (seconds since 1970), unfinished ones included."""
    for path in folder().glob("??/*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < moment:
                yield path.name


def picture_remove(name: str) -> None:
    """Delete a kept picture; one that is gone already is no mistake."""
    with contextlib.suppress(OSError):
        _path(name).unlink()
