"""Which images are asked for: sources × prompts, each request with the key that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from xprobe.base.arrays import Bools, Strings
from xprobe.base.errors import OptionError, XprobeError, counted, first_few
from xprobe.design import lineage
from xprobe.generation.base import Parameter
from xprobe.generation.config import GenerateConfig
from xprobe.generation.prompts import Prompts, Template
from xprobe.images.captions import captions_of
from xprobe.images.manifest import Manifest

KEY_DIGITS = 20
"""A key is the beginning of a SHA-256 in hex digits; 80 bits tell any number of images apart."""


@dataclass(frozen=True)
class Order:
    """An image that is to be made.

    Attributes:
        key: identifies the request (`key_of`); the image's file is called by it.
        prompt: the text.
        k: number of this request among those of equal prompt, parameters and source, from 0.
        label: class of the image.
        parent: id of the real image that it is made from, or whose caption is its prompt; empty:
            it is made from words of the class.
        path: path of the image that is sent; empty: text alone is sent.
        content: SHA-256 of that image.
        polygons: outlines of the objects in it, as the table has them.
        event: event that the parent shows.
        licence: licence of the parent.
        control: ``null-edit`` where the prompt changes nothing, else empty.
    """

    key: str
    prompt: str
    k: int
    label: str
    parent: str = ""
    path: str = ""
    content: str = ""
    polygons: str = ""
    event: str = ""
    licence: str = ""
    control: str = ""


@dataclass(frozen=True)
class Plan:
    """All images of a run, also those that were made before.

    Attributes:
        orders: the images, class by class as the table has them.
        origin: what they are made from, one of `config.ORIGINS`.
        notes: what was decided, in sentences.
        warnings: what is left out, and why.
    """

    orders: tuple[Order, ...]
    origin: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def key_of(
    maker: Sequence[str], prompt: str, parameters: Mapping[str, Parameter], source: str, k: int
) -> str:
    """Return what identifies a request: equal keys ask for the same image.

    Args:
        maker: provider and model.
        prompt: the text.
        parameters: by name; their order does not count.
        source: SHA-256 of the image that is sent; of text alone, its class and the image whose
            caption it is, on two lines.
        k: number of the request among otherwise equal ones, from 0.
    """
    parts = [*maker, prompt, dict(parameters), source, k]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_DIGITS]


def seed_of(key: str) -> int:
    """Return the seed 0 … 2³¹ − 1 of a request, which follows from its key."""
    return int(key[:8], 16) & 0x7FFFFFFF


def maker_of(config: GenerateConfig) -> tuple[str, str]:
    """Return provider and model as keys have them; another server is another provider."""
    host = urlsplit(config.base_url).hostname
    return f"{config.provider}@{host}" if host else config.provider, config.model


def make_plan(
    manifest: Manifest,
    prompts: Prompts,
    config: GenerateConfig,
    parameters: Mapping[str, Parameter],
) -> Plan:
    """Return the images that are asked for.

    Args:
        manifest: the images of the study, contents hashed.
        prompts: what is asked of the provider in words.
        config: what is generated.
        parameters: what is sent beside the prompt, the provider's defaults among them.

    Raises:
        XprobeError: no image may be a source, a class has no prompt, or a prompt needs what an
            image lacks.
    """
    origin = _origin_of(manifest, prompts, config)
    keys = _Keys(
        maker_of(config), dict(parameters) | ({"seed": config.seed} if config.seed else {})
    )
    if origin == "text" and not _needs_caption(prompts, manifest.classes):
        n, labels = config.per_class, _trained_classes(manifest)
        prompts.check(labels, with_source=False)
        if n is None:
            raise OptionError("--from text needs --per-class, such as --per-class 100")
        orders = [
            keys.order(template.fill({"class": label}, f"text of class {label}"), label)
            for label in labels
            for template in _in_turn(prompts.of_class(label), n)
        ]
        return Plan(tuple(orders), origin, (f"{n} images of each class from text alone",), ())
    if config.per_class is not None:
        raise OptionError("prompts with {caption} are of single images: use --per-image")
    sources, notes, warnings = _sources(manifest, origin, prompts.control)
    prompts.check(sources.label, with_source=origin != "text")
    licences = dict(zip(manifest.id, lineage.licences(manifest), strict=True))
    k = config.per_image or 1
    orders = []
    for i in range(len(sources)):
        row = {name: str(sources.column(name)[i]) for name in ("id", "label", "event", "prompt")}
        captions = captions_of(row["prompt"])
        for j, template in enumerate(_in_turn(prompts.of_class(row["label"]), k)):
            caption = captions[j % len(captions)] if captions else ""
            values = {"class": row["label"], "event": row["event"], "caption": caption}
            facts: dict[str, str] = {}
            if origin != "text":
                facts = {
                    "path": sources.path[i], "content": sources.sha256[i],
                    "polygons": sources.polygons[i],
                }  # fmt: skip
            orders.append(
                keys.order(
                    template.fill(values, row["id"]), row["label"], parent=row["id"],
                    event=row["event"], licence=str(licences[row["id"]]), control=prompts.control,
                    **facts,
                )
            )  # fmt: skip
    return Plan(tuple(orders), origin, tuple(notes), tuple(warnings))


class _Keys:
    """Gives each request its key, and counts equal ones."""

    def __init__(self, maker: tuple[str, str], parameters: dict[str, Parameter]) -> None:
        self.maker, self.parameters = maker, parameters
        self.counts: Counter[tuple[str, str]] = Counter()
        self.taken: set[str] = set()

    def order(self, prompt: str, label: str, **facts: str) -> Order:
        source = facts.get("content") or f"{label}\n{facts.get('parent', '')}"
        k = self.counts[prompt, source]
        self.counts[prompt, source] += 1
        key = key_of(self.maker, prompt, self.parameters, source, k)
        assert key not in self.taken, "two requests of one key"
        self.taken.add(key)
        return Order(key, prompt, k, label, **facts)


def _in_turn(templates: Sequence[Template], n: int) -> Iterable[Template]:
    return (templates[i % len(templates)] for i in range(n))


def _needs_caption(prompts: Prompts, classes: Iterable[str]) -> bool:
    return any("{caption}" in t.text for label in classes for t in prompts.of_class(label))


def _trained_classes(manifest: Manifest) -> list[str]:
    is_trained = (manifest.source == "real") & (manifest.split == "train")
    return sorted(set(manifest.label[is_trained]))


def _origin_of(manifest: Manifest, prompts: Prompts, config: GenerateConfig) -> str:
    """Return what images are made from.

    Raises:
        OptionError: the choice contradicts the prompts or another option.
    """
    if prompts.control:
        if config.origin not in ("", "real"):
            raise OptionError(
                f"--from {config.origin}: null edits are of real training images, whose label they "
                f"keep; leave --from out"
            )
        return "real"
    if config.origin:
        return config.origin
    if config.per_class is not None:
        return "text"
    return "pre" if (manifest.split == "pre").any() else "real"


def _sources(
    manifest: Manifest, origin: str, control: str
) -> tuple[Manifest, list[str], list[str]]:
    """Return the images that may be made into others, what they are, and what was left out.

    Raises:
        XprobeError: there are none.
    """
    is_real = np.asarray(manifest.source == "real", dtype=bool)
    chosen = is_real & (manifest.split == ("pre" if origin == "pre" else "train"))
    words = {"pre": "images from before (split pre)", "real": "real training images"}.get(
        origin, "real training images with a caption (column prompt)"
    )
    if origin == "text":
        has_caption = [bool(captions_of(cell)) for cell in manifest.prompt]
        chosen = chosen & np.array(has_caption, dtype=bool)
    tested = manifest.group[manifest.split == "test"]
    is_tested: Bools = np.isin(manifest.group.astype(str), tested.astype(str))
    is_lost = chosen & ~is_tested & (manifest.sha256 == "") & (origin != "text")
    sources = manifest.select(chosen & ~is_tested & ~is_lost)
    warnings = _left_out(manifest.id[chosen & is_tested], manifest.id[is_lost])
    if not len(sources):
        reason = f"; {warnings[0]}" if warnings else ""
        raise XprobeError(f"there are no {words} to make images from{reason}")
    what = "passed through unchanged" if control else "made into others"
    return sources, [f"{counted(len(sources), 'source', 'sources')}: {words}, {what}"], warnings


def _left_out(tested: Strings, lost: Strings) -> list[str]:
    warnings = []
    if len(tested):
        are = counted(len(tested), "image shows a scene", "images show scenes")
        warnings.append(f"{are} of the test part and may be no source: {first_few(tested, 3)}")
    if len(lost):
        are = counted(len(lost), "image", "images")
        warnings.append(f"{are} cannot be read and may be no source: {first_few(lost, 3)}")
    return warnings
