"""A set of content digests in little memory."""

from __future__ import annotations


class Digests:
    """A set of SHA-256 digests in 24 to 48 bytes each, where one of Python's takes 150.

    A table of their first 16 bytes with linear probing; of 2⁴⁰ contents no two share these but
    with a probability of 2⁻⁴⁹.
    """

    _KEY = 16

    def __init__(self) -> None:
        """Begin with none."""
        self._slots = 1024
        self._table = bytearray(self._slots * self._KEY)
        self._n = 0

    def _slot(self, key: bytes) -> int:
        """Return the offset of a key, or of the free slot where it belongs."""
        at = int.from_bytes(key[:8], "little") % self._slots
        table, size = self._table, self._KEY
        while True:
            found = table[at * size : (at + 1) * size]
            if found == key or not any(found):
                return at * size
            at = (at + 1) % self._slots

    def __contains__(self, digest: bytes) -> bool:
        key = digest[: self._KEY]
        at = self._slot(key)
        return self._table[at : at + self._KEY] == key

    def __len__(self) -> int:
        return self._n

    def add(self, digest: bytes) -> None:
        """Take a digest of 32 bytes, all zero excepted."""
        key = digest[: self._KEY]
        at = self._slot(key)
        if self._table[at : at + self._KEY] == key:
            return
        self._table[at : at + self._KEY] = key
        self._n += 1
        if 3 * self._n > 2 * self._slots:
            self._grow()

    def _grow(self) -> None:
        old, size = self._table, self._KEY
        self._slots *= 2
        self._table = bytearray(self._slots * size)
        for start in range(0, len(old), size):
            key = bytes(old[start : start + size])
            if any(key):
                at = self._slot(key)
                self._table[at : at + size] = key
