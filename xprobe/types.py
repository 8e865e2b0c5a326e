"""The frozen values that the stages hand to each other. They check themselves once; no I/O.

Notation: n images, d features, k classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprobe.augment import AUGMENTATIONS, check_augmentation
from xprobe.errors import XprobeError, some
from xprobe.recipe import Recipe

Strings = NDArray[Any]  # one-dimensional object array of str
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

SOURCES = ("real", "synthetic")
WITHOUT_GENERATOR = ("real-only", "zero-shot", "real-duplicated", "real-more", *AUGMENTATIONS)
"""Settings without synthetic images."""
WITH_RATIO = ("mix", "real-duplicated", "real-more")
SPLITS = ("train", "test", "extra", "pre")
RANDOM = "random:"  # how the weights of a spec begin that were never trained
PRECISIONS = ("fp32", "bf16", "fp16")


Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""``with progress("embed hog", total) as advance: … advance(n)``: how long work is shown."""


@contextmanager
def no_progress(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda _n: None


def digest_of(value: Any) -> str:
    """Return the SHA-256 hex digest of a JSON-serialisable value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def frozen_strings(values: Iterable[str]) -> Strings:
    """Return an owned, read-only object array of str, shape (n,)."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    array.flags.writeable = False
    return array


def frozen_array(values: Any, dtype: Any = None) -> NDArray[Any]:
    """Return an owned, read-only copy of an array."""
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Manifest:
    """The image table: one row an image, columns of equal length n.

    Attributes:
        id: unique name of the image; by default its POSIX path relative to DATA.
        path: where its file lies, absolute.
        sha256: hex digest of the file's content; ``""`` if the file cannot be read.
        label: class name.
        source: ``real`` or ``synthetic``.
        group: the scene that the image shows; images of one group are never split between
            training and test. ``""`` on a synthetic image: not known.
        parent: id or group of the real image that a synthetic image was made from; ``""``: not
            known.
        generator: what made a synthetic image; ``""`` on a real image.
        split: ``train``, ``test`` (fixed hold-out), ``extra`` (real images for controls only) or
            ``pre`` (scenes before the event, for the place check only).
        prompt: the text that a synthetic image was made with; ``""``: not known.
        polygons: outlines of the objects in the image, as in `outlines.read_polygons`; ``""``:
            none. Default: none at all.
        classes: the class names, sorted; the columns of every score.

    Raises:
        XprobeError: ids given twice, an unknown source or split.
    """

    id: Strings
    path: Strings
    sha256: Strings
    label: Strings
    source: Strings
    group: Strings
    parent: Strings
    generator: Strings
    split: Strings
    prompt: Strings
    polygons: Strings = field(default_factory=lambda: frozen_strings([]))
    classes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not len(self.polygons):
            object.__setattr__(self, "polygons", [""] * len(self.id))
        for name in self.columns():
            object.__setattr__(self, name, frozen_strings(getattr(self, name)))
        lengths = {name: len(getattr(self, name)) for name in self.columns()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different length: {lengths}")
        if not self.classes:
            object.__setattr__(self, "classes", tuple(sorted(set(self.label))))
        names, counts = np.unique(self.id.astype(str), return_counts=True)
        if (counts > 1).any():
            raise XprobeError(
                f"ids given twice: {some(names[counts > 1])}; give every image an id of its own"
            )
        for column, known in (("source", SOURCES), ("split", SPLITS)):
            unknown = sorted(set(getattr(self, column)) - set(known))
            if unknown:
                raise XprobeError(
                    f"unknown {column} {some(map(repr, unknown))}; known: {', '.join(known)}"
                )

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the per-image columns, in order."""
        return tuple(f.name for f in fields(cls) if f.name != "classes")

    def __len__(self) -> int:
        return len(self.id)

    def select(self, rows: Bools | Ints) -> Manifest:
        """Return the images of a mask (n,) or of positions, with the same classes."""
        columns = {name: getattr(self, name)[rows] for name in self.columns()}
        return Manifest(**columns, classes=self.classes)

    @property
    def fingerprint(self) -> str:
        """Digest of everything that all studies of the table depend on."""
        columns = [c for c in self.columns() if c not in ("path", "prompt", "polygons")]
        return digest_of([list(self.classes), [getattr(self, c).tolist() for c in columns]])


@dataclass(frozen=True)
class EncoderSpec:
    """Every field that decides a feature's value, and nothing else.

    Attributes:
        source: the family and architecture, such as ``open_clip:ViT-B-32-quickgelu``.
        weights: digest of the weights; ``""`` for an encoder without any.
        layer: where the feature is taken.
        dim: d, the length of a feature.
        input_px: height and width of the image that the encoder sees, pixels.
        resize: as in `images.resize`.
        interpolation: the resizing filter.
        mean, std: per-channel normalisation on the 0–1 scale.
        precision: arithmetic of the forward pass.
        preprocessing: version of the code that turns a file into pixels and features.
        activation: of a network that exists with several under one name; ``""`` otherwise.
        resize_px: with ``shortest``, the shorter side before the cut, pixels; 0: that of the input.
        codec: how every image is encoded anew before that, as in `images.reencode`; ``""``: not.
        resampling: ``fast``: by a resizer that is off by a level or two here and there; ``""``: by
            Pillow's.

    A field that is added later has a default and is part of the key only where it differs from
    it, so that the keys of stored features stay.
    """

    source: str
    weights: str
    layer: str
    dim: int
    input_px: tuple[int, int]
    resize: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    preprocessing: str
    activation: str = ""
    resize_px: int = 0
    codec: str = ""
    resampling: str = ""

    def __post_init__(self) -> None:
        if self.resize not in ("shortest", "shortest-floor", "longest", "squash"):
            raise ValueError(f"unknown resize mode {self.resize!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}")

    @property
    def has_random_weights(self) -> bool:
        """Whether its weights were never trained, as the user asked."""
        return self.weights.startswith(RANDOM)

    @property
    def key(self) -> str:
        """SHA-256 hex digest of all fields, those at their default left out."""
        defaults = {f.name: f.default for f in fields(self)}
        return digest_of({k: v for k, v in asdict(self).items() if v != defaults[k]})


@dataclass(frozen=True, eq=False)
class Features:
    """Features of images by id, no labels.

    Attributes:
        encoder: key of the encoder.
        id: (n,) ids.
        x: (n, d) finite, read-only.
    """

    encoder: str
    id: Strings
    x: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", frozen_strings(self.id))
        x = self.x
        if x.flags.writeable:
            x = x.view()
            x.flags.writeable = False
        object.__setattr__(self, "x", x)
        if x.ndim != 2 or len(x) != len(self.id):
            raise ValueError(f"x of shape {x.shape} for {len(self.id)} ids")
        if not np.isfinite(x).all():
            bad = self.id[~np.isfinite(x).all(axis=1)]
            raise XprobeError(f"features that are not finite: {some(bad)}")


@dataclass(frozen=True, eq=False)
class Fold:
    """One train/test division of the images of a study, as ids.

    Attributes:
        repeat, index: which repeat, which fold within it.
        train_real: real images to train on.
        test_real: real images to test on; no image and no group of `train_real` among them.
        inner: for the choice of C, pairs (train, validation) that divide `train_real` in the same
            way; empty if a class has too few groups.
    """

    repeat: int
    index: int
    train_real: Strings
    test_real: Strings
    inner: tuple[tuple[Strings, Strings], ...]

    def __post_init__(self) -> None:
        for a, b in ((self.train_real, self.test_real), *self.inner):
            if set(a) & set(b):
                raise ValueError("training and test part share an image")


@dataclass(frozen=True)
class Setting:
    """What is trained on: ``real-only``, ``synthetic-only`` or ``mix`` 1:ratio of one generator.

    ``zero-shot`` trains on no image: the encoder's text features classify. ``real-more`` has as
    many further real images as the mix 1:ratio has synthetic ones. Fine-tunes have controls:
    ``real-duplicated``, the real images alone for as many steps as the mix 1:ratio. The name of an
    augmentation is an alternative to synthetic images: the real images alone with that, for as many
    steps as the mix of the largest ratio. A mix with `augment` is that alternative, too.
    """

    name: str
    ratio: float | None = None
    generator: str | None = None
    augment: str = ""

    def __post_init__(self) -> None:
        if self.name not in (*WITHOUT_GENERATOR, "synthetic-only", "mix"):
            raise ValueError(f"unknown setting {self.name!r}")
        if (self.ratio is None) == (self.name in WITH_RATIO):
            raise ValueError("a ratio belongs to a mix or its control, and to nothing else")
        if (self.generator is None) != (self.name in WITHOUT_GENERATOR):
            raise ValueError("every setting with synthetic images names their generator")
        if self.augment and self.name != "mix":
            raise ValueError("an augmentation belongs to a mix, or is the setting itself")

    @property
    def title(self) -> str:
        """How people read it; see `setting_title`."""
        return setting_title(self.name, self.ratio, self.augment)

    @property
    def is_alternative(self) -> bool:
        """Whether it is of the family of alternatives, not of its generator's."""
        return bool(self.augment) or self.name in AUGMENTATIONS


def head_title(head: str, real_fraction: float, train_per_class: int | None = None) -> str:
    """Return how people read a head and the part of the real images it was trained on."""
    words = head if head == FINETUNE else f"{head} head"
    if train_per_class is not None:
        return f"{words}, {train_per_class} real of each class"
    return words if real_fraction == 1 else f"{words}, {100 * real_fraction:g} % of real"


def setting_title(name: str, ratio: float | None, augment: str | None = "") -> str:
    """Return how people read a setting: its name, ``1:2`` of a mix, ``real × 3`` of a control."""
    if ratio is None:
        return name
    titles = {"mix": f"1:{ratio:g}", "real-more": f"1:{ratio:g} real"}
    title = titles.get(name, f"real × {1 + ratio:g}")
    return f"{title} + {augment}" if augment else title


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of real test images under one setting and repeat, all folds together.

    Attributes:
        run: key of everything that decided these scores.
        id: (n,) test images.
        label: (n,) index of the true class.
        score: (n, k) log-probabilities.
        fold: (n,) fold in which the image was tested.
    """

    run: str
    id: Strings
    label: Ints
    score: Floats
    fold: Ints

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", frozen_strings(self.id))
        for name in ("label", "score", "fold"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        n = len(self.id)
        if self.label.shape != (n,) or self.fold.shape != (n,) or self.score.shape[:1] != (n,):
            raise ValueError("id, label, fold and score differ in length")
        if not np.isfinite(self.score).all():
            raise ValueError("scores must be finite")

    @property
    def hit(self) -> Bools:
        """(n,) whether the highest score is the true class's."""
        return np.asarray(self.score.argmax(axis=1) == self.label)


@dataclass(frozen=True)
class Result:
    """One metric of one setting over all its folds and repeats: one flat JSON object.

    Intervals are 95 %. `difference` is to real-only, on the same test images; its interval and
    `p_adjusted` hold for all comparisons of the family together. `control_*` are of the difference
    to the setting's control, real images trained on as long (fine-tunes only); `p_adjusted` is
    then the larger of both. `p_mcnemar` is of the first repeat on a fixed hold-out, uncorrected.
    All but `n_*`, `dropped_by_lineage` and some metrics (`metrics.per_image`) are fractions.
    """

    encoder: str
    generator: str | None
    head: str
    protocol: str
    setting: str
    ratio: float | None
    augment: str | None
    metric: str
    value: float
    ci_low: float
    ci_high: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_adjusted: float | None
    p_mcnemar: float | None
    control_difference: float | None
    control_low: float | None
    control_high: float | None
    verdict: str | None
    detectable: float | None
    n_test: int
    n_groups: int
    dropped_by_lineage: int
    real_fraction: float
    train_per_class: int | None
    n_train_real: float
    n_train_synthetic: float
    ratio_actual: float | None


HEADS = ("logistic", "ridge", "knn", "text", "text-soft")
FINETUNE = "finetune"  # instead of the name of a head: the whole network is trained
C_RULES = ("best", "one-se")
MEMORY_GIB = 2.0  # features of up to this size are held in memory


@dataclass(frozen=True)
class SweepConfig:
    """Everything a user may choose about a sweep; the defaults are the protocol.

    Attributes:
        ratios: r of each mix 1:r, synthetic per real training image of the same class.
        per_class: real images of each class to study; None takes all.
        real_fraction: share of the real training images of each fold that is trained on.
        train_per_class: instead of a share, so many of each class.
        folds: largest number of cross-validation folds; None: 5, or the fixed hold-out if there
            is one.
        holdout: share of the real images that is drawn to be a fixed hold-out; None: none is.
        leave_one_group_out: whether each group is a fold of its own.
        ignore_lineage: train on synthetic images that were made from test images, too; only to
            show the size of the leak.
        repeats: how often folds and synthetic subsets are drawn anew.
        inner_folds: largest number of folds for the choice of C.
        c_grid: the values of C to choose from, ascending.
        c_rule: ``best``, or ``one-se``: the smallest C within one standard error of the best.
        balanced: whether classes weigh the same in training however many images they have.
        head: name of the head, or `FINETUNE`.
        finetune_repeats: `repeats` of fine-tunes.
        recipe: of fine-tunes.
        alternatives: names of augmentations that are tried on real images instead of adding
            synthetic ones.
        with_synthetic: whether they are tried with synthetic images, too, at the largest ratio.
        seed: every random choice follows from it.
        allow_fewer: go on if there are fewer synthetic images than a ratio needs.
    """

    ratios: tuple[float, ...] = (1, 2, 3, 4)
    per_class: int | None = None
    real_fraction: float = 1.0
    train_per_class: int | None = None
    folds: int | None = None
    holdout: float | None = None
    leave_one_group_out: bool = False
    ignore_lineage: bool = False
    repeats: int = 10
    inner_folds: int = 5
    c_grid: tuple[float, ...] = tuple(float(c) for c in np.logspace(-2, 4, 10))
    c_rule: str = "best"
    balanced: bool = False
    head: str = "logistic"
    finetune_repeats: int = 1
    recipe: Recipe = field(default_factory=Recipe)
    alternatives: tuple[str, ...] = ()
    with_synthetic: bool = False
    seed: int = 0
    allow_fewer: bool = False

    def __post_init__(self) -> None:
        if not self.ratios or any(not np.isfinite(r) or r <= 0 for r in self.ratios):
            raise XprobeError("ratios must be positive numbers, such as --ratios 1,2,3,4")
        object.__setattr__(self, "ratios", tuple(sorted(set(self.ratios))))
        for name, low in (
            ("repeats", 1), ("finetune_repeats", 1), ("per_class", 2), ("folds", 2),
            ("inner_folds", 2), ("seed", 0), ("train_per_class", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < low:
                raise XprobeError(f"--{name.replace('_', '-')} must be {low} or more")
        if not 0 < self.real_fraction <= 1:
            raise XprobeError("--real-fraction takes numbers above 0 and at most 1, such as 0.5,1")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise XprobeError("--holdout takes a share between 0 and 1, such as 0.3")
        ways = (self.folds is not None, self.holdout is not None, self.leave_one_group_out)
        if sum(ways) > 1:
            raise XprobeError("choose one of --folds, --holdout and --leave-one-group-out")
        if not self.c_grid or any(not np.isfinite(c) or c <= 0 for c in self.c_grid):
            raise XprobeError("every value of C must be a positive number")
        object.__setattr__(self, "c_grid", tuple(sorted(set(self.c_grid))))
        if self.c_rule not in C_RULES:
            raise XprobeError(f"--c-rule is one of {', '.join(C_RULES)}, not {self.c_rule!r}")
        for name in self.alternatives:
            check_augmentation(name)
        object.__setattr__(self, "alternatives", tuple(dict.fromkeys(self.alternatives)))
        if self.with_synthetic and not self.alternatives:
            raise XprobeError("--with-synthetic needs --alternatives, such as classic")

    def of_head(self, name: str) -> SweepConfig:
        """Return the same for another head; fine-tunes have repeats of their own."""
        repeats = self.finetune_repeats if name == FINETUNE else self.repeats
        return replace(self, head=name, repeats=repeats)
