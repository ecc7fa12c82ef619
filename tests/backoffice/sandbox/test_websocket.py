"""The simulator's own RFC 6455, against the RFC's examples and whatever a client may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.sandbox.websocket import (
    Control,
    Message,
    Opcode,
    ProtocolError,
    Reader,
    accept,
    close_frame,
    frame,
    http,
    masked,
)

KEY = bytes.fromhex("37fa213d")


def client_frame(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """A frame as a client sends it."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else (
        b"\xfe" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xff" + size.to_bytes(8, "big")
    )  # fmt: skip
    return bytes([opcode | (0x80 if fin else 0)]) + length + KEY + masked(data, KEY)


def test_the_rfcs_handshake() -> None:
    """Section 1.3: this key is accepted with that text."""
    head = "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    answer = accept(f"{head}Sec-WebSocket-Version: 13\r\n\r\n".encode()).decode()
    assert answer.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"])
def test_what_is_no_handshake_is_refused(head: bytes) -> None:
    """A request without what the section asks for opens nothing."""
    with pytest.raises(ProtocolError):
        accept(head)


def test_an_answer_says_how_long_it_is() -> None:
    """Other answers than 101 are whole HTTP messages."""
    assert http(307, Location="ws://127.0.0.1/").endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def test_the_rfcs_masked_hello() -> None:
    """Section 5.7: a single masked text message, and the same in two fragments."""
    (message,) = Reader().receive(bytes.fromhex("818537fa213d7f9f4d5158"))
    assert message.data == "Hello"
    assert frame(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frame(Opcode.TEXT, b"Hel", fin=False) == bytes.fromhex("010348656c")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_001])
def test_every_length_has_its_header(size: int) -> None:
    """Lengths of 7, 16 and 64 bits are read and written alike."""
    (message,) = Reader().receive(client_frame(Opcode.BINARY, b"x" * size))
    assert message.data == b"x" * size
    written = frame(Opcode.BINARY, b"x" * size)
    assert written[1] == min(size, 126 if size < 1 << 16 else 127)
    assert written.endswith(b"x" * size)


@given(
    texts=st.lists(st.text(max_size=200), max_size=5),
    cut=st.integers(1, 40),
    step=st.integers(1, 60),
    ping=st.booleans(),
)
def test_messages_survive_any_fragmentation(texts: list[str], cut: int, step: int, ping: bool) -> None:
    """However a message is cut into fragments, with pings between them, and however the bytes come, it is whole."""
    wire = b""
    pings = 0
    for text in texts:
        data = text.encode()
        pieces = [data[start : start + cut] for start in range(0, len(data), cut)] or [b""]
        for number, piece in enumerate(pieces):
            opcode = Opcode.CONTINUATION if number else Opcode.TEXT
            wire += client_frame(opcode, piece, fin=number == len(pieces) - 1)
            if ping:
                pings += 1
                wire += client_frame(Opcode.PING, b"p")
    reader = Reader()
    complete = [one for start in range(0, len(wire), step) for one in reader.receive(wire[start : start + step])]
    assert [one.data for one in complete if isinstance(one, Message)] == texts
    assert sum(isinstance(one, Control) for one in complete) == pings


def test_a_message_over_the_limit_is_told_by_its_header() -> None:
    """1009 comes before the body does, and counts all the fragments of a message."""
    whole = client_frame(Opcode.TEXT, b"x" * 101)
    with pytest.raises(ProtocolError) as wrong:
        list(Reader(100).receive(whole[:8]))
    assert wrong.value.code == 1009
    reader = Reader(100)
    list(reader.receive(client_frame(Opcode.TEXT, b"x" * 60, fin=False)))
    with pytest.raises(ProtocolError, match="over 100 bytes"):
        list(reader.receive(client_frame(Opcode.CONTINUATION, b"x" * 60)))


def test_the_limit_is_for_each_message() -> None:
    """Two messages that fit are taken, though together they would not."""
    reader = Reader(100)
    assert len(list(reader.receive(client_frame(Opcode.TEXT, b"x" * 90) * 2))) == 2


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(Opcode.TEXT, b"hello"), 1002),  # unmasked
        (client_frame(0x41, b""), 1002),  # a reserved bit
        (client_frame(3, b""), 1002),  # a reserved opcode
        (client_frame(Opcode.CONTINUATION, b""), 1002),
        (client_frame(Opcode.TEXT, b"", fin=False) + client_frame(Opcode.TEXT, b""), 1002),
        (client_frame(Opcode.PING, b"", fin=False), 1002),
        (client_frame(Opcode.PING, b"x" * 126), 1002),
        (client_frame(Opcode.TEXT, b"\xff"), 1007),
    ],
)
def test_what_breaks_the_protocol_is_named(wire: bytes, code: int) -> None:
    """Each breach has the close code of section 7.4.1."""
    with pytest.raises(ProtocolError) as wrong:
        list(Reader().receive(wire))
    assert wrong.value.code == code


def test_a_close_has_a_code_and_a_reason() -> None:
    """A close frame's body is read back; one without a code is 1005, which never stands on the wire."""
    (close,) = Reader().receive(client_frame(Opcode.CLOSE, b"\x03\xf1too large"))
    assert close.close == (1009, "too large")
    (empty,) = Reader().receive(client_frame(Opcode.CLOSE, b""))
    assert empty.close == (1005, "")
    assert close_frame(1005) == bytes.fromhex("8800")
    assert close_frame(1000, "x" * 200)[1] == 125
