"""The classical alternatives to synthetic images, by name, for batches of a fine-tune.

All random numbers come from torch's global generator of the CPU, as torchvision's do: the same
``torch.manual_seed`` gives the same images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xprobe.base.errors import OptionError, XprobeError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

AUGMENTATIONS: Mapping[str, str] = MappingProxyType(
    {
        "flip": "left and right exchanged in half of the images",
        "flip-vertical": "top and bottom exchanged in half of the images",
        "rotate-90": "turned by 90, 180 or 270 degrees; images that are not square by 180 or not",
        "rotate": "turned by up to 15 degrees",
        "scale": "made smaller or larger by up to a quarter",
        "translate": "moved by up to an eighth of the side, in both directions",
        "crop": "a part of 50 to 100 % of the area, at the size of the whole",
        "colour-jitter": "brightness, contrast, saturation by up to 40 %, hue by 36 degrees",
        "noise": "Gaussian noise, standard deviation 5 % of full scale",
        "cutout": "a grey hole of 5 to 25 % of the area (Zhong et al. 2020)",
        "mixup": "two images and their classes averaged (Zhang et al. 2018, alpha 0.2)",
        "cutmix": "a part of another image pasted, classes by area (Yun et al. 2019, alpha 1)",
        "copy-paste": "what the manifest's polygons outline pasted from another image, classes by "
        "area (Ghiasi et al. 2021)",
        "randaugment": "two random operations of strength 9 (Cubuk et al. 2020)",
        "trivialaugment": "one random operation of random strength (Müller & Hutter 2021)",
        "augreg": "RandAugment and Mixup together (Steiner et al. 2022)",
        "classic": "flip, crop and mild colour jitter together",
        "classic-overhead": "classic in all eight ways in which a square can lie, which flip, "
        "flip-vertical and rotate-90 give: for images from above, which have no up",
    }
)

# All threads share torch's global generator: the thread that seeds it holds this lock.
_generator_lock = threading.Lock()

COPY_PASTE = "copy-paste"
"""The augmentation that needs masks of the objects."""

MIXUP, AUGREG = "mixup", "augreg"

MIXING = (MIXUP, "cutmix", COPY_PASTE, AUGREG)
"""Augmentations that mix several images, and with them their targets."""

CLASSIC, CLASSIC_OVERHEAD = "classic", "classic-overhead"

# This grey fills what reflection cannot. It is the mean of ImageNet, which normalisation turns into
# about zero; black would draw an edge that no photograph has, and that a network can learn.
_GREY = 124


def check_augmentation(name: str) -> None:
    """Refuse a name that no augmentation has.

    Raises:
        OptionError: there is no augmentation of that name.
    """
    if name not in AUGMENTATIONS:
        raise OptionError(
            f"unknown augmentation {name!r}{did_you_mean(name, AUGMENTATIONS)}; "
            f"known: {', '.join(AUGMENTATIONS)}"
        )


def steps_of(name: str) -> tuple[str, str]:
    """Return the augmentation of single images that one begins with, and that which mixes them.

    One of them is empty unless the augmentation is both together.
    """
    if name == AUGREG:
        return "randaugment", MIXUP
    return ("", name) if name in MIXING else (name, "")


def has_views(name: str) -> bool:
    """Return whether an augmentation changes single images, which are then views."""
    return bool(steps_of(name)[0])


def meant(name: str, overhead: bool) -> str:
    """Return the augmentation that a name stands for; of images from above, classic is another."""
    return CLASSIC_OVERHEAD if overhead and name == CLASSIC else name


@dataclass(frozen=True)
class Augmentation:
    """A random change of a batch: `images` works before normalisation, `mix` after it.

    Attributes:
        name: one of `AUGMENTATIONS`.
        k: number of classes.

    Raises:
        XprobeError: there is no augmentation of that name, or it mixes classes and `k` is below 2.
    """

    name: str
    k: int

    def __post_init__(self) -> None:
        check_augmentation(self.name)
        if self.name in MIXING and self.k < 2:
            raise XprobeError(f"augmentation {self.name!r} mixes classes, and needs two or more")

    def images(self, x: Tensor) -> Tensor:
        """Return images (n, 3, h, w) uint8, on the CPU, each changed by a draw of its own.

        Augmentations that do nothing but mix images leave them as they are here.
        """
        change_name, _ = steps_of(self.name)
        if not change_name or not len(x):
            return x
        from torch import stack

        # torchvision draws once for a whole batch, and is thus given one image after the other.
        change = _transform(change_name, x.shape[-2], x.shape[-1])
        return stack([change(image) for image in x])

    def mix(self, x: Tensor, target: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return images (n, 3, h, w) and class probabilities (n, k), each mixed with another's.

        The share of the other image is drawn once a batch, and the other image is the one before in
        the batch, which must be in random order. In CutMix and Copy-Paste the share is that of the
        area. Copy-Paste takes what the `mask` (n, h, w) of the other image covers. Augmentations
        that do not mix return what they were given.
        """
        _, mixing = steps_of(self.name)
        if not mixing or not len(x):
            return x, target
        if mixing == COPY_PASTE:
            assert mask is not None
            pasted = mask.roll(1, 0)
            share = pasted.float().mean(dim=(1, 2))[:, None]
            other, label = x.roll(1, 0), target.roll(1, 0)
            return other.where(pasted[:, None], x), (1 - share) * target + share * label
        from torchvision.transforms import v2

        if mixing == MIXUP:
            mixed = v2.MixUp(alpha=0.2, num_classes=self.k)(x, target)
        else:
            mixed = v2.CutMix(alpha=1.0, num_classes=self.k)(x, target)
        return mixed[0], mixed[1]


def augmented(pixels: NDArray[np.uint8], name: str, seed: int) -> NDArray[np.uint8]:
    """Return one image (h, w, 3) uint8, changed by the random numbers of a seed; thread-safe."""
    import numpy as np
    import torch

    x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))[None]
    with _generator_lock, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed = Augmentation(name, 1).images(x)[0]
    return np.ascontiguousarray(np.moveaxis(changed.numpy(), 0, -1))


def _transform(name: str, h: int, w: int) -> Callable[[Tensor], Tensor]:
    """Return the function by which an augmentation changes one image (3, h, w) uint8."""
    import torch
    from torchvision.transforms import v2

    smooth = v2.InterpolationMode.BILINEAR

    def reflected(change: Any) -> Any:
        """Return a change of an image that is first continued by reflection at its border.

        The continued image suffices for 15 degrees, and for sides of up to 2:1.
        """
        border = v2.Pad((w // 4, h // 4), padding_mode="reflect")
        return v2.Compose([border, change, v2.CenterCrop((h, w))])

    def crop() -> Any:
        aspect = w / h  # torchvision wants the ratio of the part itself, not relative to the image.
        return v2.RandomResizedCrop((h, w), (0.5, 1.0), (aspect * 3 / 4, aspect * 4 / 3), smooth)

    def noise() -> Any:
        # torchvision cuts noise on integers towards zero, or refuses it, so it is given floats.
        to_float = v2.ToDtype(torch.float32, scale=True)
        to_uint8 = v2.ToDtype(torch.uint8, scale=True)
        return v2.Compose([to_float, v2.GaussianNoise(0, 0.05), to_uint8])

    def turned(fewest: int) -> Any:
        """Return a turn by `fewest` to three quarters of a circle; it keeps an image's shape."""

        def turn(image: Tensor) -> Tensor:
            quarters = int(torch.randint(fewest, 4, ()))
            return image.rot90(quarters if h == w else quarters // 2 * 2, (-2, -1))

        return turn

    factories: dict[str, Callable[[], Any]] = {
        "flip": v2.RandomHorizontalFlip,
        "flip-vertical": v2.RandomVerticalFlip,
        "rotate-90": lambda: turned(1),
        "rotate": lambda: reflected(v2.RandomRotation(15, smooth, fill=_GREY)),
        "scale": lambda: reflected(
            v2.RandomAffine(0, scale=(0.8, 1.25), interpolation=smooth, fill=_GREY)
        ),
        "translate": lambda: v2.RandomCrop((h, w), (w // 8, h // 8), padding_mode="reflect"),
        "crop": crop,
        "colour-jitter": lambda: v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        "noise": noise,
        "cutout": lambda: v2.RandomErasing(1, (0.05, 0.25), (3 / 4, 4 / 3), _GREY),
        "randaugment": lambda: v2.RandAugment(interpolation=smooth, fill=_GREY),
        "trivialaugment": lambda: v2.TrivialAugmentWide(interpolation=smooth, fill=_GREY),
        "classic": lambda: v2.Compose(
            [v2.RandomHorizontalFlip(), crop(), v2.ColorJitter(0.2, 0.2, 0.2, 0.02)]
        ),
        # A flip and a turn by none to three quarters are all eight ways, equally often.
        "classic-overhead": lambda: v2.Compose(
            [v2.RandomHorizontalFlip(), turned(0), crop(), v2.ColorJitter(0.2, 0.2, 0.2, 0.02)]
        ),
    }
    change: Callable[[Tensor], Tensor] = factories[name]()
    return change


VIEWS = 4
"""Views of each image that are embedded: as many as the largest ratio of the protocol."""

VIEW_VERSION = 1
"""Version of the augmentations, to be raised by a change that changes their pixels."""


def check_views(names: Sequence[str]) -> None:
    """Refuse augmentations that give no view of a single image.

    Raises:
        OptionError: a name is that of no augmentation, or of one that does nothing but mix images.
    """
    for name in names:
        check_augmentation(name)
        if not has_views(name):
            raise OptionError(
                f"{name!r} mixes images and cannot be embedded one by one"
                + ("; heads mix features instead, without --augment" if name == MIXUP else "")
            )


def view_digest(content: str, augmentation: str, number: int) -> str:
    """Return the digest under which a store keeps the `number`-th view of an image's content."""
    import hashlib

    words = f"{content} {augmentation} {number} {VIEW_VERSION}"
    return hashlib.sha256(words.encode()).hexdigest()
