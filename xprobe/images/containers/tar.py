"""The members of tar archives: their names and places, and where an archive is damaged."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import tarfile
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, first_few
from xprobe.base.regular import opener
from xprobe.images.containers.registry import Span

# A tar ends in two blocks of zeros; every header and all data begin at a whole block.
_BLOCK, _END = tarfile.BLOCKSIZE, 2 * tarfile.BLOCKSIZE

# The word by which a header of a tar is known, and where it stands in it.
_MAGIC, _MAGIC_OFFSET = b"ustar", 257

# A header with a long name takes some hundred bytes; more than this is read for none.
_MOST_HEADER = 2**20

# Links that lead to links are followed so far, as the operating system does.
_MOST_LINKS = 40

# Members of these types have no content, or are read by tarfile as part of the next one.
_WITHOUT_CONTENT = frozenset((*tarfile.SUPPORTED_TYPES, b"V", b"D")) - {tarfile.GNUTYPE_SPARSE}


# Headers of these types are followed by records on the next member, or on all that follow.
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


class ArchiveError(XprobeError):
    """An archive cannot be read, or not to its end; members before that have been yielded."""


def members(archive: str | Path) -> Iterator[tuple[str, Span]]:
    """Yield the name and the span of each file in an uncompressed tar, in constant memory.

    Links to files of the archive come last, with the span of the file that they lead to. Of members
    that share a name all are yielded; unpacked, the last one counts. Archives that were joined with
    ``cat`` are read to the last.

    Raises:
        ArchiveError: the archive is compressed or no tar; or, after the members before it, there
            is damage, or no end as a tar has it.
        OSError: the file cannot be read, or is no regular one.
    """
    file = str(archive)
    links: dict[str, str] = {}
    odd: list[str] = []
    for member in _headers(file, is_told=True):
        name = member.name
        if member.isreg() and not member.issparse():
            yield name, (member.offset_data, member.size)
        elif member.islnk():
            links[name] = posixpath.normpath(member.linkname)
        elif member.issym():
            target = posixpath.join(posixpath.dirname(name), member.linkname)
            links[name] = posixpath.normpath(target)
        elif member.type not in _WITHOUT_CONTENT:
            odd.append(name)
    if odd:
        _warn(
            f"{file}: {len(odd)} members of a type that cannot be read, such as sparse files, are "
            f"left out: {first_few(odd, 3)}; pack them with plain 'tar -cf'"
        )
    if links:
        yield from _linked(file, links)


def locate(file: str, member: str) -> Span:
    """Return where a member lies; the first call looks through the whole archive.

    Raises:
        OSError: there is no such member, or the archive cannot be read.
    """
    status = Path(file).stat()
    spans, damage = _spans_of_members(file, status.st_mtime_ns, status.st_size)
    try:
        return spans[member]
    except KeyError:
        reason = f"no such member; {damage}" if damage else "no such member"
        raise FileNotFoundError(errno.ENOENT, reason, f"{file}::{member}") from None


@lru_cache(maxsize=64)
def _spans_of_members(archive: str, _mtime_ns: int, _size: int) -> tuple[dict[str, Span], str]:
    """Return the spans in an archive by name, and why it was not read to its end; ``""``: it was.

    A new time or size renews what is cached. Of members that share a name the last one counts, as
    it does when they are unpacked.
    """
    spans: dict[str, Span] = {}
    doubled = []
    try:
        for name, span in members(archive):
            if name in spans:
                doubled.append(name)
            spans[name] = span
    except ArchiveError as error:
        return spans, str(error)
    if doubled:
        warnings.warn(
            f"{archive}: {len(doubled)} members have the name of an earlier one, which they "
            f"replace: {first_few(doubled, 3)}",
            XprobeWarning,
            stacklevel=2,
        )
    return spans, ""


class _Headers(io.BufferedReader):
    """A stream of which tarfile cannot take more than a header has, whatever a header says."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header that states {size} bytes")
        return super().read(size)


def _headers(file: str, *, is_told: bool) -> Iterator[tarfile.TarInfo]:
    """Yield the header of each member; with `is_told`, joined archives are warned about.

    Raises:
        ArchiveError: as in `members`.
    """
    with _Headers(io.FileIO(file, opener=opener)) as stream:
        size = os.fstat(stream.fileno()).st_size
        start: int | None = 0
        while start is not None:
            if start and is_told:
                is_told = False
                _warn(
                    f"{file}: from byte {start:,} on, members follow blocks of zeros, as in "
                    f"archives that were joined; all are read"
                )
            stream.seek(start)
            try:
                tar = tarfile.TarFile(fileobj=stream)
            except OSError:
                raise
            except Exception as error:  # A bad header makes tarfile raise errors of any type.
                raise _refusal(file, stream, start, error) from error
            place = start
            while (member := _next(file, tar, size)) is not None:
                if not member.issparse():
                    _check_extensions(file, stream, place, member.offset_data - _BLOCK)
                yield member
                place = tar.offset
            start = _next_start(file, stream, tar.offset, size)


def _refusal(file: str, stream: _Headers, start: int, error: Exception) -> ArchiveError:
    """Return the error of an archive whose first header cannot be read."""
    stream.seek(start + _MAGIC_OFFSET)
    if start or stream.read(len(_MAGIC)) == _MAGIC:
        return _damage(file, start, os.fstat(stream.fileno()).st_size)
    return ArchiveError(
        f"{file}: no tar archive that can be read ({error}); compressed ones must be unpacked to "
        f".tar first"
    )


def _next(file: str, tar: tarfile.TarFile, size: int) -> tarfile.TarInfo | None:
    """Return the next member of an archive of `size` bytes, or None where no header follows."""
    offset = tar.offset
    try:
        member = tar.next()
    except OSError:
        raise
    except Exception as error:  # As above.
        if offset >= size:  # The last member is whole, but not what follows it.
            return None
        raise _damage(file, offset, size) from error
    tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all.
    if member is not None:
        is_plain = member.isreg() and not member.issparse()
        if member.size < 0 or (is_plain and member.offset_data + member.size > size):
            raise _damage(file, member.offset, size)
    return member


def _check_extensions(file: str, stream: _Headers, start: int, end: int) -> None:
    """Refuse an extended header, from `start` up to a member's own at `end`, that states nothing.

    tarfile passes over the content of such a header without a word. If the type of a file was
    damaged to be one, the file would be missing in silence.
    """
    while start < end:
        stream.seek(start)
        header = stream.read(_BLOCK)
        length = int(header[124:136].strip(b" \0") or b"0", 8)
        is_extended = header[156:157] in _EXTENDED
        if is_extended and not _are_records(stream.read(length)):
            raise _damage(file, start, os.fstat(stream.fileno()).st_size)
        start += _BLOCK + length + -length % _BLOCK


def _are_records(content: bytes) -> bool:
    """Return whether a content is made of records ``length key=value`` (POSIX pax), and nothing."""
    place = 0
    while place < len(content):
        match = re.compile(rb"(\d{1,9}) [^=]+=").match(content, place)
        length = int(match[1]) if match else 0
        if length == 0 or content[place : place + length][-1:] != b"\n":
            return False
        place += length
    return place == len(content)


def _next_start(file: str, stream: _Headers, end: int, size: int) -> int | None:
    """Return where another archive begins behind the zeros at `end`, or None at the last end."""
    if end >= size:
        raise ArchiveError(
            f"{file}: its end is missing, the blocks of zeros that every tar ends in, so that "
            f"members may be missing, too; fetch or pack it again, or, if it is known to be whole, "
            f"add them with 'truncate -s +{_END + -size % _BLOCK} {file}'"
        )
    stream.seek(end)
    offset = end
    while block := stream.read(_MOST_HEADER):
        if content := block.lstrip(b"\0"):
            offset += len(block) - len(content)
            start = offset - (offset - end) % _BLOCK
            if start - end < _END:
                raise _damage(file, end, size)
            return start
        offset += len(block)
    if size % _BLOCK:
        raise ArchiveError(
            f"{file}: {size:,} bytes, which is no multiple of {_BLOCK} as in a whole tar, so that "
            f"members may be missing or damaged; fetch or pack the archive again"
        )
    return None


def _damage(file: str, offset: int, size: int) -> ArchiveError:
    return ArchiveError(
        f"{file}: damaged or cut at byte {offset:,}; {max(0, size - offset):,} bytes from there on "
        f"were not read, and images in them are missing; fetch or pack the archive again"
    )


def _linked(file: str, links: dict[str, str]) -> Iterator[tuple[str, Span]]:
    """Yield the links of an archive, name → target, with the spans of the files they lead to."""
    targets = set(links.values())
    spans = {
        name: (member.offset_data, member.size)
        for member in _headers(file, is_told=False)
        if member.isreg() and (name := posixpath.normpath(member.name)) in targets
    }
    target_of = {posixpath.normpath(name): target for name, target in links.items()}
    lost = []
    for name, target in links.items():
        for _ in range(_MOST_LINKS):
            if target in spans or target not in target_of:
                break
            target = target_of[target]
        if target in spans:
            yield name, spans[target]
        else:
            lost.append(name)
    if lost:
        _warn(
            f"{file}: {len(lost)} links lead to no file of the archive and are left out: "
            f"{first_few(lost, 3)}; pack it with 'tar --dereference'"
        )


def _warn(message: str) -> None:
    warnings.warn(message, XprobeWarning, stacklevel=3)
