"""How the text of the terms is laid out. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (one line), a paragraph (its lines), or a list (its items)."""

    kind: Literal["heading", "paragraph", "list"]
    lines: tuple[str, ...]


def blocks_of(text: str) -> list[Block]:
    """The blocks of a text: parted by empty lines, headings begin with ``# ``, items of a list with ``- ``."""
    blocks: list[Block] = []
    gathered: list[str] = []
    kind: Literal["paragraph", "list"] = "paragraph"

    def end() -> None:
        if gathered:
            blocks.append(Block(kind, tuple(gathered)))
            gathered.clear()

    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("# "):
            end()
            blocks.append(Block("heading", (line.removeprefix("# ").strip(),)))
        elif line.startswith("- "):
            if kind != "list":
                end()
            kind = "list"
            gathered.append(line.removeprefix("- ").strip())
        elif not line:
            end()
            kind = "paragraph"
        elif kind == "list" and gathered:
            gathered[-1] += " " + line
        else:
            kind = "paragraph"
            gathered.append(line)
    end()
    return blocks
