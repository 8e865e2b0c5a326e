"""Which images take part, and where they lie: what a user may choose, checked once; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.declared import COMPARED, PROTOCOL, check_least, option, parse_names
from xprobe.base.errors import OptionError, first_few

DEFAULT_DATA = Path("data")

WIDER = ("event",)
"""Columns of a table that are wider than scenes: what groups, or standard errors, may be by."""

Data = str | Path | Sequence[str | Path] | None
"""DATA: a folder or table, or several that are taken together; None: `DEFAULT_DATA`."""


def _parse_columns(text: str) -> tuple[tuple[str, str], ...]:
    """Return pairs (column of xprobe, column of a data set) of ``image=…,label=…``."""
    pairs = tuple(part.partition("=") for part in parse_names(text))
    names = [(name.strip(), column.strip()) for name, _, column in pairs]
    if not all(name and column for name, column in names):
        raise ValueError("is a list such as image=picture,label=species")
    if len(dict(names)) < len(names):
        raise ValueError("names a column of xprobe twice")
    return tuple(names)


@dataclass(frozen=True)
class FormConfig:
    """What is said of the form of DATA where it does not say it itself.

    Attributes:
        layout: name of the source that reads DATA (`sources.registry`); empty: what fits it. It
            says nothing of what stands beside DATA.
        columns: (column of xprobe, column of the data set), for Hugging Face's data sets: ``image``
            or a column of an image table, such as ``label`` and ``source``; ``-`` for the latter
            says that no column is taken.
        label_key: key of the class in the .json members of WebDataset shards; empty: ``label`` or
            ``cls``.
        classes: text file of the names of classes that a set numbers: a name a line, that of class
            0 first; empty: none.
    """

    layout: str = option(
        "", "Form of DATA, such as imagefolder, webdataset or huggingface, where xprobe does not "
        "tell it itself; docs/guide/datasets.md lists all.",
        metavar="NAME", shown="the one that fits",
    )  # fmt: skip
    columns: tuple[tuple[str, str], ...] = option(
        (), "Columns of a Hugging Face data set, by the names that xprobe has for them, such as "
        "image=picture,label=species; NAME=- takes no column for NAME.",
        metavar="LIST", parse=_parse_columns, shown="as they are called",
    )  # fmt: skip
    label_key: str = option(
        "", "Key in the .json members of WebDataset shards whose value is the class.",
        metavar="KEY", shown="label or cls",
    )  # fmt: skip
    classes: str = option(
        "", "Text file that names the classes where Hugging Face or WebDataset sets number them: a "
        "name a line, that of class 0 first.",
        metavar="FILE", shown="none",
    )  # fmt: skip


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
        form: what is said of the form of DATA.
    """

    real: tuple[str, ...] = option(
        (), "In place of DATA: folder of real images, of class folders or of splits, their "
        "manifest, or a data set as it is; repeat for several.",
        metavar="DIR",
    )  # fmt: skip
    synthetic: tuple[str, ...] = option(
        (), "Beside DATA or --real: folder of synthetic images, their manifest, or a data set as "
        "it is; NAME=DIR for those of one generator; repeat for several. A manifest.csv in the "
        "folder says what they are.",
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
    form: FormConfig = FormConfig()

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
            OptionError: both are given, or a form of DATA without DATA, or DATA is an empty list.
        """
        if self.real and self.form.layout:
            raise OptionError(
                f"--layout is the form of DATA, and --real takes the place of DATA; write the form "
                f"before the path instead, --real {self.form.layout}:{self.real[0]}"
            )
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
