"""Which images take part, and where they lie: what a user may choose, checked once; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.declared import COMPARED, PROTOCOL, check_least, option
from xprobe.base.errors import OptionError, first_few

DEFAULT_DATA = Path("data")

WIDER = ("event",)
"""Columns of a table that are wider than scenes: what groups, or standard errors, may be by."""

Data = str | Path | Sequence[str | Path] | None
"""DATA: a folder or table, or several that are taken together; None: `DEFAULT_DATA`."""


@dataclass(frozen=True)
class DataConfig:
    """Which images take part, and where they lie.

    Attributes:
        real: folders of real images in place of DATA, each of class folders or of splits.
        synthetic: folders of synthetic images beside DATA or `real`, ``NAME=DIR`` for the class
            folders of a generator; without a name, what the folder synthetic of DATA would hold.
            A manifest.csv in such a folder says what its images are; manifests may be named, too.
        test: folders of real images that are the fixed hold-out.
        extra: folders of real images that serve controls alone.
        val: what a split for validation is: ``train`` (trained with) or ``test``.
        generators: names of the generators that take part, or lists of names with commas; none:
            all.
        limit: real images of each class that take part, in a smoke test; None: all.
        skip_incomplete: whether generators are left out that lack a class of real.
    """

    real: tuple[str, ...] = option(
        (), "In place of DATA: folder of real images, of class folders or of splits, or their "
        "manifest; repeat for several.",
        metavar="DIR",
    )  # fmt: skip
    synthetic: tuple[str, ...] = option(
        (), "Beside DATA or --real: folder of synthetic images, or their manifest; NAME=DIR for "
        "those of one generator; repeat for several. A manifest.csv in the folder says what they "
        "are.",
        metavar="NAME=DIR",
    )  # fmt: skip
    test: tuple[str, ...] = option(
        (), "With --real: folder of real images that are the fixed hold-out.", metavar="DIR"
    )
    extra: tuple[str, ...] = option(
        (), "With --real: folder of more real images, for controls only.", metavar="DIR"
    )
    val: str = option(
        "train", "What a split called val, valid, validation or dev is: train or test.",
        panel=PROTOCOL, metavar="SPLIT", values=("train", "test"),
    )  # fmt: skip
    generators: tuple[str, ...] = option(
        (), "Generators that take part, such as sd,flux. Default: all.",
        panel=COMPARED, flag="--generator", metavar="LIST",
    )  # fmt: skip
    skip_incomplete: bool = option(
        False, "Leave out generators that have no images of a class.", panel=COMPARED
    )

    limit: int | None = option(
        None, "For a smoke test: so many real images of each class, and synthetic ones in "
        "proportion, the same ones in every command.",
        panel=COMPARED, least=2,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_least(self, OptionError)
        if self.val not in ("train", "test"):
            raise OptionError(f"--val is train or test, not {self.val!r}")
        if (self.test or self.extra) and not self.real:
            raise OptionError(
                "--test and --extra take the place of DATA together with --real; name the real "
                "images, too"
            )
        object.__setattr__(self, "generators", tuple(dict.fromkeys(self.generators)))

    @property
    def places_named(self) -> tuple[str, ...]:
        """What ``--real``, ``--test``, ``--extra`` and ``--synthetic`` name, as it was written."""
        return (*self.real, *self.test, *self.extra, *self.synthetic)

    def places(self, data: Data = None) -> tuple[Path, ...]:
        """Return DATA, by default `DEFAULT_DATA`; none where folders stand in its place.

        Raises:
            OptionError: both are given, or DATA is an empty list.
        """
        if data is None:
            return () if self.real else (DEFAULT_DATA,)
        places = tuple(map(Path, (data,) if isinstance(data, str | Path) else data))
        if not places:
            raise OptionError("the list of DATA is empty; name a folder or a manifest in it")
        if self.real:
            raise OptionError(
                f"DATA ({places[0]}) and --real both say where the images are; leave DATA out, or "
                f"name its folders: --real {places[0]}/real --synthetic {places[0]}/synthetic"
            )
        return places

    def words(self, data: Data = None) -> str:
        """Return where the images are, as messages name it."""
        return first_few((*map(str, self.places(data)), *self.real, *self.synthetic), 3)
