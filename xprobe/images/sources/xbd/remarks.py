"""What is wrong in a tree of xBD: a line for each kind, with its count and three examples."""

from __future__ import annotations

from xprobe.base.errors import counted, first_few

_EXAMPLES = 3


class Remarks:
    """Collects what is wrong, by kind; kinds are in the order in which they were first seen."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, str], list[str]] = {}

    def add(self, one: str, many: str, remedy: str, name: str) -> None:
        """Note something of a name.

        Args:
            one, many: what is said of one and of several of a kind, as `errors.counted` takes it.
            remedy: what was done about it, or can be done.
            name: name of the file or tile.
        """
        self._names.setdefault((one, many, remedy), []).append(name)

    @property
    def lines(self) -> list[str]:
        """A line for each kind."""
        return [
            f"{counted(len(names), one, many)} ({remedy}): {first_few(names, _EXAMPLES)}"
            for (one, many, remedy), names in self._names.items()
        ]
