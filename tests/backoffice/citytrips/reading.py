"""Reading a full to its end."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from backoffice.citytrips import fulls


@dataclass
class Whole:
    """A full, read to its end."""

    text: bytes
    versions: dict[str, int]
    absent: dict[str, int]
    count: int


def read_full(token: uuid.UUID) -> Whole:
    reader = fulls.FullReader(token)
    text = b"".join(iter(reader.read, None))
    return Whole(text, reader.versions, reader.absent, reader.count)
