"""A set of content digests in little memory."""

from __future__ import annotations


class Digests:
    """A set of SHA-256 digests in 24 to 48 bytes each, where a set of Python takes 150.

    The first 16 bytes of each digest stand in a table with linear probing. The probability that any
    two of 2⁴⁰ contents share these bytes is 2⁻⁴⁹.
    """

    _KEY = 16

    def __init__(self) -> None:
        """Start as an empty set."""
        self._slots = 1024
        self._table = bytearray(self._slots * self._KEY)
        self._n = 0

    def _offset_of(self, key: bytes) -> int:
        """Return the offset of a key, or of the free slot where it belongs."""
        slot = int.from_bytes(key[:8], "little") % self._slots
        table, size = self._table, self._KEY
        while True:
            stored = table[slot * size : (slot + 1) * size]
            if stored == key or not any(stored):
                return slot * size
            slot = (slot + 1) % self._slots

    def __contains__(self, digest: bytes) -> bool:
        key = digest[: self._KEY]
        offset = self._offset_of(key)
        return self._table[offset : offset + self._KEY] == key

    def __len__(self) -> int:
        return self._n

    def add(self, digest: bytes) -> None:
        """Add a digest of 32 bytes, which must not all be zero: zeros mark a free slot."""
        key = digest[: self._KEY]
        offset = self._offset_of(key)
        if self._table[offset : offset + self._KEY] == key:
            return
        self._table[offset : offset + self._KEY] = key
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
                offset = self._offset_of(key)
                self._table[offset : offset + size] = key
