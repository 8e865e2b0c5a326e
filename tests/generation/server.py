"""A server on this machine that speaks as the services of generated images do.

    python tests/generation/server.py --protocol openai --delay .05 --log FILE

It prints its port, and answers every request with an image of its own, until it is killed. FILE
gets a line a request before it is answered: the prompt, SHA-256 of the image (``-``: none) and the
seed (``-``: none), separated by tabs. In tests it runs in a thread, and what it answers is told.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fields = dict[str, Any]

COST = 0.0421
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Seen:
    """A request that the server got: its path, its headers in lower case, and what it asks for."""

    path: str
    headers: dict[str, str]
    fields: Fields = field(default_factory=dict)
    prompt: str = ""
    image: bytes | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Reply:
    """What the server answers.

    Attributes:
        cut: bytes of the body after which the connection is closed; None: all are sent.
        after: what is waited for before anything is answered.
        drip_s: seconds between single bytes of the body; 0: it is sent at once.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    cut: int | None = None
    after: threading.Event | None = None
    drip_s: float = 0.0


def json_reply(document: object, status: int = 200, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(document).encode(), status, names)


def png(seed: str = "", size_px: int = 4) -> bytes:
    """Return a picture of noise that follows from the seed, and does not get smaller."""
    noise = random.Random(seed).randbytes(size_px * size_px * 3)
    rows = b"".join(b"\0" + noise[i : i + 3 * size_px] for i in range(0, len(noise), 3 * size_px))
    head = struct.pack(">IIBBBBB", size_px, size_px, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return PNG_HEAD + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _text_chunk(text: str) -> bytes:
    """Return a chunk of a PNG that holds a text."""
    content = b"tEXtname\0" + text.encode()
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


# --- the protocols: what a request asks for, and how images are answered ---


def read_openai(seen: Seen, body: bytes) -> Seen:
    kind = seen.headers["content-type"]
    if not kind.startswith("multipart/"):
        fields = json.loads(body)
        image = _from_url(fields["image"]) if "image" in fields else None
        return Seen(seen.path, seen.headers, fields, fields["prompt"], image)
    fields, image = {}, None
    for piece in body.split(b"--" + kind.partition("boundary=")[2].encode())[1:-1]:
        head, _, content = piece[2:-2].partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        if b"filename=" in head:
            image = content
        else:
            fields[name[1].decode()] = content.decode()
    return Seen(seen.path, seen.headers, fields, fields["prompt"], image)


def read_openrouter(seen: Seen, body: bytes) -> Seen:
    fields = json.loads(body)
    images = fields.get("input_references") or []
    image = _from_url(images[0]["image_url"]["url"]) if images else None
    return Seen(seen.path, seen.headers, fields, fields["prompt"], image, fields.get("seed"))


def read_gemini(seen: Seen, body: bytes) -> Seen:
    fields = json.loads(body)
    parts = fields["contents"][0]["parts"]
    text = next(part["text"] for part in parts if "text" in part)
    images = [part["inlineData"]["data"] for part in parts if "inlineData" in part]
    image = base64.urlsafe_b64decode(images[0]) if images else None
    seed = fields["generationConfig"].get("seed")
    return Seen(seen.path, seen.headers, fields, text, image, seed)


def _from_url(address: str) -> bytes:
    return base64.b64decode(address.partition(",")[2])


def openai_images(*images: bytes) -> Reply:
    details = {"text_tokens": 12, "image_tokens": 323}
    return json_reply(
        {
            "created": 1,
            "data": [{"b64_json": base64.b64encode(image).decode()} for image in images],
            "output_format": "png",
            "usage": {"input_tokens": 335, "input_tokens_details": details, "output_tokens": 1056},
        },
        x_request_id="req_1",
    )


def openrouter_images(*images: bytes) -> Reply:
    data = [
        {"b64_json": base64.b64encode(image).decode(), "media_type": "image/png"}
        for image in images
    ]
    usage = {"prompt_tokens": 300, "completion_tokens": 1120, "total_tokens": 1420, "cost": COST}
    return json_reply({"created": 1, "data": data, "usage": usage}, x_generation_id="gen-1")


def gemini_images(*images: bytes) -> Reply:
    parts = [
        {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(image).decode()}}
        for image in images
    ]
    return gemini_parts(*parts)


def gemini_parts(*parts: Fields, finish: str = "STOP") -> Reply:
    usage = {
        "promptTokenCount": 1130,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "IMAGE", "tokenCount": 1120},
        ],
        "candidatesTokenCount": 1290,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        "thoughtsTokenCount": 7,
    }
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish}
    return json_reply({"candidates": [candidate], "usageMetadata": usage, "responseId": "resp-1"})


@dataclass(frozen=True)
class Protocol:
    """How a service is spoken to.

    Attributes:
        path: what its base URL ends with.
        read: fills in what a request asks for from its body.
        images: makes the answer that holds images.
    """

    path: str
    read: Callable[[Seen, bytes], Seen]
    images: Callable[..., Reply]


PROTOCOLS = {
    "openai": Protocol("/v1", read_openai, openai_images),
    "openrouter": Protocol("/api/v1", read_openrouter, openrouter_images),
    "gemini": Protocol("", read_gemini, gemini_images),
}


# --- the server ---


class Server(ThreadingHTTPServer):
    """The server; `reply` says what it answers, by default an image of each request's own.

    Attributes:
        seen: the requests so far.
        reply: from a request to its answer.
    """

    daemon_threads = True
    # What is still waited for when a test has ended is nobody's any more.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, protocol: str, size_px: int = 4) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.protocol = PROTOCOLS[protocol]
        self.forget()
        self._size_px = size_px

    def forget(self) -> None:
        """Be as new: with no request seen, and with images as answers."""
        self.seen: list[Seen] = []
        self.reply: Callable[[Seen], Reply] = self._image_of

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """The base URL for the provider."""
        return self.origin + self.protocol.path

    def _image_of(self, seen: Seen) -> Reply:
        """Return a picture of this request alone: small ones differ in pixels, large in a chunk."""
        name = f"{seen.prompt} {hashlib.sha256(seen.image or b'').hexdigest()} {len(self.seen)}"
        if self._size_px <= 16:
            return self.protocol.images(png(name, self._size_px))
        chunk = base64.b64encode(_text_chunk(hashlib.sha256(name.encode()).hexdigest()))
        return replace(self._large, body=chunk.join(self._around))

    @cached_property
    def _large(self) -> Reply:
        """An answer with a large picture, which takes too long to make for each request."""
        picture = png("", self._size_px)
        return self.protocol.images(picture[:33] + _text_chunk("0" * 64) + picture[33:])

    @cached_property
    def _around(self) -> list[bytes]:
        """What stands in its body before and after the chunk, each a multiple of 3 bytes long."""
        return self._large.body.split(base64.b64encode(_text_chunk("0" * 64)))

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16  # a small answer is one packet

    def do_GET(self) -> None:
        self._answer(Seen(self.path, self._names()))

    def do_POST(self) -> None:
        body = self.rfile.read(self._length())
        self._answer(self.server.protocol.read(Seen(self.path, self._names()), body))

    def _names(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _length(self) -> int:
        return int(self.headers["content-length"])

    def _answer(self, seen: Seen) -> None:
        self.server.seen.append(seen)
        reply = self.server.reply(seen)
        if reply.after is not None:
            reply.after.wait(10)
        self.send_response_only(reply.status)
        headers = {"content-type": reply.media_type, "content-length": str(len(reply.body))}
        for name, value in (headers | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if reply.drip_s:
            for byte in reply.body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(reply.drip_s)
        elif reply.cut is None:
            self.wfile.write(reply.body)
        else:
            self.wfile.write(reply.body[: reply.cut])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


@contextmanager
def running(protocol: str) -> Iterator[Server]:
    """Run a server in a thread."""
    with Server(protocol) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--protocol", choices=PROTOCOLS, default="openai")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before an answer")
    parser.add_argument("--log", type=Path, help="file that gets a line a request")
    parser.add_argument("--size-px", type=int, default=4, help="side of the images, pixels")
    options = parser.parse_args()
    server = Server(options.protocol, options.size_px)
    image_of = server.reply
    log = os.open(options.log, os.O_APPEND | os.O_CREAT | os.O_WRONLY) if options.log else None

    def answer(seen: Seen) -> Reply:
        if log is not None:
            digest = hashlib.sha256(seen.image).hexdigest() if seen.image else "-"
            seed = "-" if seen.seed is None else str(seen.seed)
            os.write(log, f"{' '.join(seen.prompt.split())}\t{digest}\t{seed}\n".encode())
        time.sleep(options.delay)
        return image_of(seen)

    server.reply = answer
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
