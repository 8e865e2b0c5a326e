"""The headers of tar archives, one after another, and where an archive is damaged.

tarfile of the standard library reads a header in some 25 µs, more than it takes to read a small
image. So plain headers of files, which most are, are read here, and all others by tarfile: both
give the same for every header that is plain.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Generator, Iterator

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.base.regular import opener

# A tar ends in two blocks of zeros; every header and all data begin at a whole block.
_BLOCK, _END = tarfile.BLOCKSIZE, 2 * tarfile.BLOCKSIZE

# The word by which a header of a tar is known, and where it stands in it.
_MAGIC, _MAGIC_OFFSET = b"ustar", 257

# A header with a long name takes some hundred bytes; more than this is read for none.
_MOST_HEADER = 2**20

# Headers of these types are followed by records on the next member, or on all that follow.
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)

FILE, SPARSE = tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE
"""Types of files whose content lies in the archive as it is, or without its holes."""


class ArchiveError(XprobeError):
    """An archive cannot be read, or not to its end; members before that have been yielded."""


Header = tuple[str, bytes, int, int, str, bytes | None]
"""What the header of a member says: its path, its type as in `tarfile` (of regular files always
`FILE` or `SPARSE`), where its content begins and how long it is, bytes, and where a link leads to.
The last is the content, if the file is so small that it was read with the header; else None.
"""


def headers(file: str, *, is_told: bool) -> Iterator[Header]:
    """Yield the header of each member; with `is_told`, joined archives are warned about.

    Raises:
        ArchiveError: the archive is compressed or no tar; or, after the members before it, there
            is damage, or no end as a tar has it.
        OSError: the file cannot be read, or is no regular one.
    """
    with _Headers(io.FileIO(file, opener=opener)) as stream:
        size = os.fstat(stream.fileno()).st_size
        start: int | None = 0
        while start is not None:
            if start and is_told:
                is_told = False
                warnings.warn(
                    f"{file}: from byte {start:,} on, members follow blocks of zeros, as in "
                    f"archives that were joined; all are read",
                    XprobeWarning,
                    stacklevel=4,
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
                yield _header_of(member)
                place = tar.offset
                if not tar.pax_headers:  # They say something of all members that follow.
                    tar.offset = place = yield from _plain_headers(stream, place, size)
            start = _next_start(file, stream, tar.offset, size)


def _header_of(member: tarfile.TarInfo) -> Header:
    kind = SPARSE if member.issparse() else FILE if member.isreg() else member.type
    return member.name, kind, member.offset_data, member.size, member.linkname, None


# --- plain headers -------------------------------------------------------------------------

# What follows the name in a plain header: octal numbers of the usual width, and a prefix in ASCII
# that belongs before the name. The expression's four groups capture the size, the checksum, the
# type and the prefix.
_FIELDS = re.compile(
    rb"(?:[0-7]{7}[ \0]|[0-7]{6} \0){3}"  # mode, uid, gid
    rb"([0-7]{11})[ \0][0-7]{11}[ \0]"  # size, mtime
    rb"([0-7]{6})(?:\0 | \0)([" + tarfile.XHDTYPE + FILE + rb"\0])"
    rb".{172}"  # the target of a link, the magic word, the names of owner and group
    rb"(?:[0-7]{7}[ \0]|[0-7]{6} \0|\0{8}){2}"  # the numbers of a device
    rb"([^\0]*)\0",
    re.DOTALL,
)

# The fields that differ from one header to the next: the size, and the checksum. Their place, and
# that of the fields between the name and the size; all from the type on are equal, too.
_NUMBERS = re.compile(rb"([0-7]{11})[ \0][0-7]{11}[ \0]([0-7]{6})(?:\0 | \0)")
_OWNER, _SIZE_OFFSET, _REST = slice(100, 124), 124, slice(156, _BLOCK)

# Records of an extended header that say nothing of where a member lies or what it is called.
_RECORD = re.compile(rb"(\d{1,3}) [amc]time=[0-9.]+\n")
_RECORDS = re.compile(rb"(?:\d{1,3} [amc]time=[0-9.]+\n)+\0*")


def _plain_headers(stream: _Headers, place: int, size: int) -> Generator[Header, None, int]:
    """Yield the headers of files from `place` on; return where the first one is that is not plain.

    Args:
        stream: the archive.
        place: where a header begins, bytes.
        size: length of the archive, bytes.
    """
    seek, read = stream.seek, super(_Headers, stream).read
    fields, numbers = _FIELDS.match, _NUMBERS.match
    owner = rest = prefix = b""  # of the last plain header
    while True:
        seek(place)
        # Behind a header, two blocks hold most texts beside images, or the records of an extended
        # header and the header that follows them.
        blocks = read(3 * _BLOCK)
        start, header = place, blocks[:_BLOCK]
        # Compared with a header known to be plain, one takes 1 µs; to match all its fields, 2.4.
        if rest and blocks.startswith(rest, _REST.start) and blocks.startswith(owner, _OWNER.start):
            match = numbers(blocks, _SIZE_OFFSET)
            if match is None:
                return start
        else:
            match = fields(blocks, 100)
            if match is None:
                return start
            if match[3] == tarfile.XHDTYPE:
                header = blocks[2 * _BLOCK :]
                records = blocks[_BLOCK : 2 * _BLOCK]
                if not _is_sound(blocks[:_BLOCK], match[2]) or not _are_times(records, match[1]):
                    return start
                match = fields(header, 100)
                if match is None or match[3] == tarfile.XHDTYPE:
                    return start
                place += 2 * _BLOCK
            if match.end() > 500:
                return start
            owner, rest, prefix = header[_OWNER], header[_REST], match[4]
        name, _, _ = header[:100].partition(b"\0")
        length, offset = int(match[1], 8), place + _BLOCK
        if not _is_sound(header, match[2]) or not name or name.endswith(b"/"):
            return start
        if offset + length > size:
            return start
        if prefix:
            name = prefix + b"/" + name
        is_here = place == start and length <= 2 * _BLOCK
        content = blocks[_BLOCK : _BLOCK + length] if is_here else None
        yield name.decode("ascii"), FILE, offset, length, "", content
        place = offset + length + -length % _BLOCK


def _is_sound(header: bytes, stated: bytes) -> bool:
    """Return whether a header is whole, pure ASCII, and has the checksum that it states.

    The checksum is the sum of all bytes, those of the checksum itself taken as spaces. The lower
    half of Adler-32 is 1 + the sum of all bytes modulo 65,521, which ASCII alone does not reach.
    """
    if len(header) != _BLOCK or not header.isascii():
        return False
    total = (zlib.adler32(header) & 0xFFFF) - 1
    return total - sum(header[148:156]) + 8 * ord(" ") == int(stated, 8)


def _are_times(records: bytes, length: bytes) -> bool:
    """Return whether a block holds records of a total length that all state times, and no more."""
    if not _RECORDS.fullmatch(records):
        return False
    matches = list(_RECORD.finditer(records))
    is_whole = all(int(match[1]) == match.end() - match.start() for match in matches)
    return is_whole and matches[-1].end() == int(length, 8)


# --- all others ----------------------------------------------------------------------------


class _Headers(io.BufferedReader):
    """A stream of which tarfile cannot take more than a header has, whatever a header says."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header that states {size} bytes")
        return super().read(size)


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
    """Return whether a content is made of records ``length key=value`` (POSIX pax) alone."""
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
