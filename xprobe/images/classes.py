"""The classes of an image table: their names as text, and which images they need."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Collection, Sequence

from xprobe.base.arrays import Bools
from xprobe.base.errors import XprobeError, XprobeWarning, did_you_mean, first_few
from xprobe.images.manifest import UNLABELLED, Manifest


def composed(name: str) -> str:
    """Return a name in the one form of Unicode (NFC) in which names are compared.

    Zips of macOS hold é as two characters, other systems write it as one.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def spelling(label: str) -> str:
    """Return what is equal for names that differ in case, in spaces or in forms of Unicode."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def check_spellings(parts: Sequence[Collection[str]], data: object) -> None:
    """Raise if two classes differ in case, in spaces or in forms of Unicode alone.

    Where every part has both, such as the letters A and a, that is only warned of.

    Args:
        parts: the classes of the real images, of each generator, and so on.
        data: where they are from, for the message.
    """
    first: dict[str, str] = {}
    for label in sorted({label for labels in parts for label in labels}):
        other = first.setdefault(spelling(label), label)
        if other == label:
            continue
        shown = ascii if composed(other) == composed(label) else repr
        said = (
            f"{data}: the classes {shown(other)} and {shown(label)} differ only in how they are "
            f"written; give both one name"
        )
        if not all(other in labels and label in labels for labels in parts):
            raise XprobeError(said)
        warnings.warn(f"{said} if they are one class", XprobeWarning, stacklevel=2)


def check_classes(manifest: Manifest, data: object, whole: bool) -> None:
    """Raise if a class has no real images or, with `whole`, if a generator has none of a class."""
    real = _real_classes(manifest)
    if whole and real == {UNLABELLED}:
        raise XprobeError(
            f"{data}: a study compares classes, and no class is known of these images; write a "
            f"table with 'xprobe scan {data} -o study.csv', correct its column label, and name it "
            f"as DATA"
        )
    parts = _classes_of_parts(manifest)
    check_spellings([real, *parts.values()], data)
    if not real:
        raise XprobeError(
            f"{data}: no real images to train on; put them into real/<class>/…, or "
            f"name the table of them, too"
        )
    for part, labels in parts.items():
        if unknown := sorted(labels - real):
            raise XprobeError(
                f"{data}: class {first_few(map(repr, unknown))} of {part} has no real images to "
                f"train on{did_you_mean(unknown[0], real, 1)}; classes of real are "
                f"{first_few(sorted(real))}; rename the class, add it to real, or remove it"
            )
    if whole and (missing := missing_classes(manifest)):
        raise XprobeError(f"{data}: {_incomplete(missing, generators(manifest))}")


def check_synthetic(manifest: Manifest) -> None:
    """Raise if there is no synthetic image to compare with the real ones."""
    if not (manifest.source == "synthetic").any():
        raise XprobeError(
            "no synthetic images to compare with; name them beside DATA, --synthetic NAME=DIR, or "
            "put them into synthetic/[<generator>/]<class>/…, and embed them"
        )


def _classes_of_parts(manifest: Manifest) -> dict[str, set[str]]:
    """Return the classes of all that stands beside the real images to train on."""
    names = sorted(set(manifest.generator) - {""})
    parts = {f"synthetic (generator {name})": manifest.generator == name for name in names}
    parts |= {split: manifest.split == split for split in ("test", "extra")}
    return {part: set(manifest.label[mask]) for part, mask in parts.items() if mask.any()}


def generators(manifest: Manifest) -> list[str]:
    """Return the names of the generators, sorted; those of controls alone are none."""
    return sorted(set(manifest.generator[~manifest.is_control]) - {""})


def missing_classes(manifest: Manifest) -> dict[str, list[str]]:
    """Return the classes of real that each generator has no image of, if it lacks any."""
    real, images = _real_classes(manifest), manifest.without_controls()
    missing = {
        name: sorted(real - set(images.label[images.generator == name]))
        for name in generators(images)
    }
    return {name: classes for name, classes in missing.items() if classes}


def _real_classes(manifest: Manifest) -> set[str]:
    return set(manifest.label[_is_trained_on(manifest)])


def _is_trained_on(manifest: Manifest) -> Bools:
    mask: Bools = (manifest.source == "real") & (manifest.split == "train")
    return mask


def lacking(missing: dict[str, list[str]]) -> str:
    """Return in words which generators have no images of which classes."""
    return first_few((f"{name} ({first_few(names, 3)})" for name, names in missing.items()), 20)


def _incomplete(missing: dict[str, list[str]], names: list[str]) -> str:
    complete = [name for name in names if name not in missing]
    if len(missing) == 1:
        ((name, classes),) = missing.items()
        said = (
            f"class {first_few(map(repr, classes))} of real has no images in synthetic (generator "
            f"{name}); add them"
        )
    else:
        said = (
            f"{len(missing)} of {len(names)} generators have no images of a class of real: "
            f"{lacking(missing)}; add them"
        )
    if not complete:
        return f"{said}, or remove the class from real"
    return f"{said}, or leave them out with --skip-incomplete, or choose others with --generator"
