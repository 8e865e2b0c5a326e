"""Which images take part, and where they lie: what a user may choose, checked once; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xprobe.base.declared import COMPARED, PROTOCOL, check_least, option
from xprobe.base.errors import OptionError

DEFAULT_DATA = Path("data")


@dataclass(frozen=True)
class DataConfig:
    """Which images take part, and where they lie.

    Attributes:
        real: folders of real images in place of DATA, each of class folders or of splits.
        synthetic: folders of synthetic images, ``NAME=DIR`` for the class folders of a generator;
            without a name, what the folder synthetic of DATA would hold.
        test: folders of real images that are the fixed hold-out.
        extra: folders of real images that serve controls alone.
        val: what a split for validation is: ``train`` (trained with) or ``test``.
        generators: names of the generators that take part, or lists of names with commas; none:
            all.
        limit: real images of each class that take part, in a smoke test; None: all.
        skip_incomplete: whether generators are left out that lack a class of real.
    """

    real: tuple[str, ...] = option(
        (), "In place of DATA: folder of real images, of class folders or of splits; repeat for "
        "several.",
        metavar="DIR",
    )  # fmt: skip
    synthetic: tuple[str, ...] = option(
        (), "With --real: folder of synthetic images, NAME=DIR for those of one generator; repeat "
        "for several.",
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
        if self.names_folders and not self.real:
            raise OptionError(
                "--synthetic, --test and --extra take the place of DATA together with --real; name "
                "the real images, too"
            )
        object.__setattr__(self, "generators", tuple(dict.fromkeys(self.generators)))

    @property
    def names_folders(self) -> bool:
        """Whether folders stand in place of DATA."""
        return bool(self.real or self.synthetic or self.test or self.extra)

    def data_named(self, data: str | Path | None) -> Path | None:
        """Return DATA, by default `DEFAULT_DATA`; None where folders stand in its place.

        Raises:
            OptionError: both are given.
        """
        if not self.names_folders:
            return DEFAULT_DATA if data is None else Path(data)
        if data is not None:
            raise OptionError(
                f"DATA ({data}) and --real both say where the images are; leave DATA out, or name "
                f"its folders: --real {data}/real --synthetic {data}/synthetic"
            )
        return None

    def words(self, data: str | Path | None) -> str:
        """Return where the images are, as messages name it."""
        return ", ".join(self.real) if self.names_folders else str(data or DEFAULT_DATA)
