"""Files that hold many images, and the paths ``file::member`` of the images in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from importlib import import_module
from typing import Any

Span = tuple[int, int]
"""Offset and size of a member that lies in its file as it is, in bytes."""

_ANY = ".+"


@dataclass(frozen=True)
class Container:
    """A kind of file that holds images, known by its name alone.

    Its module in this folder has one function. Where images lie in such files as they are, that is
    ``locate(file, member)``, which returns a `Span`; else it is ``read_member(file, member)``,
    which returns the content of an image. Both raise an OSError if there is no such member, or if
    the file cannot be read.

    Attributes:
        name: name of the module.
        file: how the paths of such files end, a regular expression.
        member: how their members are named, a regular expression.
        has_spans: whether images lie in such files as they are, in one piece.
    """

    name: str
    file: str
    member: str = _ANY
    has_spans: bool = False

    @property
    def is_numbered(self) -> bool:
        """Whether members are called by their place, where another image may come to stand."""
        return self.member != _ANY

    def locate(self, file: str, member: str) -> Span:
        """Return where a member lies, if this container `has_spans`."""
        span: Span = self._module.locate(file, member)
        return span

    def locator(self, file: str) -> Callable[[str], Span]:
        """Return the function that says where members of a file lie, if this container `has_spans`.

        A module may have ``locator(file)`` for this, which looks at the file once for many members.
        """
        module = self._module
        if hasattr(module, "locator"):
            function: Callable[[str], Span] = module.locator(file)
            return function
        return partial(self.locate, file)

    @cached_property
    def read_member(self) -> Callable[[str, str], bytes]:
        """The function of a file and a member that returns the content, unless it `has_spans`."""
        function: Callable[[str, str], bytes] = self._module.read_member
        return function

    @cached_property
    def _module(self) -> Any:
        return import_module(f"xprobe.images.containers.{self.name}")


CONTAINERS = (
    Container("tar", r"\.tar", has_spans=True),
    Container(
        "batches", r"(?:\A|[/\\:])(?:data_batch_\d+|test_batch|train|test)(?:\.bin)?", r"\d+"
    ),
    Container("parquet", r"\.parquet", r"[0-9]+(?:/.+)?"),
    Container("arrow", r"\.arrow", r"[0-9]+(?:/.+)?", has_spans=True),
)  # fmt: skip

_BY_NAME = {container.name: container for container in CONTAINERS}

_MEMBER = re.compile(
    "|".join(f"(?P<{c.name}>(?:{c.file})::(?={c.member}\\Z))" for c in CONTAINERS), re.DOTALL
)

# A file in a compressed archive: the archive, and the name of the file in it.
_COMPRESSED = re.compile(r"(.*?\.(?:tar\.gz|tgz))::(.+)", re.DOTALL)

Member = tuple[Container, str, str]
"""An image in a container: its kind, its file, and the name of the image in it."""


def member_of(path: str) -> Member | None:
    """Return what a path ``file::member`` names, or None if it is the path of a file."""
    file, colons, name = path.partition("::")
    if not colons:
        return None
    container = _container_of(file)
    if container is not None and name and (container.member == _ANY or name.isdigit()):
        return container, file, name  # Most paths are so, and this is fast.
    match = _MEMBER.search(path)
    if match is None:
        return None
    return _BY_NAME[str(match.lastgroup)], path[: match.end() - 2], path[match.end() :]


def archive_of(file: str) -> tuple[str, str] | None:
    """Return the compressed archive that a file lies in, and its name there; None: in none.

    Such is the file of an image ``cifar-10-python.tar.gz::cifar-10-batches-py/data_batch_1::17``.
    """
    match = _COMPRESSED.fullmatch(file)
    return (match[1], match[2]) if match else None


def file_of(path: str) -> str:
    """Return the file on disk that an image lies in: of a member, the file of many images."""
    member = member_of(path)
    if member is None:
        return path
    archive = archive_of(member[1])
    return archive[0] if archive else member[1]


@lru_cache(maxsize=256)
def _container_of(file: str) -> Container | None:
    """Return the kind of file of a name, if its members may be called by numbers."""
    match = _MEMBER.search(f"{file}::0")
    return _BY_NAME[str(match.lastgroup)] if match and match.end() == len(file) + 2 else None
