"""What a Hugging Face data set says of itself beside its rows: README.md and dataset_info.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, first_line

README = "README.md"

INFO = "dataset_info.json"

# Far more than the head of any README.md says; what aliases repeat counts anew.
_MOST_VALUES = 10**6

_HEAD = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)

ClassNames = Mapping[str, tuple[str, ...]]
"""Column → the names of its classes, in the order of their numbers."""


@dataclass(frozen=True)
class Configuration:
    """A part of a data set that is used without the others.

    Attributes:
        name: its name.
        files: (split, pattern) of its files; a split of ``""`` is not said.
    """

    name: str
    files: tuple[tuple[str, str], ...]

    def splits_of(self, file: str) -> list[str]:
        """Return the splits that a file is listed in, ``""`` for one that is not said."""
        return [split for split, pattern in self.files if _fits(file, pattern)]

    def is_whole(self, files: Iterable[str]) -> bool:
        """Return whether all that it lists is among some files, as far as patterns tell."""
        files = list(files)
        return all(any(_fits(file, pattern) for file in files) for _, pattern in self.files)


@dataclass(frozen=True)
class Card:
    """What a data set says of itself.

    Attributes:
        configurations: its parts, as far as it lists their files.
        class_names: configuration → names of classes by column; ``""``: those of all.
        licence: name of its licence; empty: not said.
    """

    configurations: tuple[Configuration, ...] = ()
    class_names: Mapping[str, ClassNames] = field(default_factory=dict)
    licence: str = ""

    def names_in(self, configuration: str) -> ClassNames:
        """Return the class names by column in a configuration; of a sole one, whatever it is."""
        names = self.class_names
        if configuration not in names and len(names) == 1:
            return next(iter(names.values()))
        return names.get(configuration, {})


def read_card(folder: Path) -> Card:
    """Return what the README.md of a folder says at its head; nothing where there is none.

    Raises:
        XprobeError: its head cannot be read.
    """
    file = folder / README
    if not file.is_file():
        return Card()
    try:
        match = _HEAD.match(file.read_text(encoding="utf-8"))
        head = _parsed(match[1]) if match else {}
    except (OSError, ValueError) as error:
        raise XprobeError(
            f"{file}: its head cannot be read ({first_line(error)}); correct it, or move the file "
            f"away"
        ) from error
    return Card(tuple(_configurations(head)), _class_names(head), _licence(head))


def _parsed(text: str) -> Mapping[str, Any]:
    """Return the head of a README.md, whose values are texts as they are written, or null.

    Elsewhere YAML takes the class ``no`` for a truth value, and ``010`` for eight.

    Raises:
        ValueError: it is no YAML, or its aliases stand for too much.
    """
    import yaml

    kept = {
        sign: [(tag, form) for tag, form in forms if tag.endswith((":null", ":merge"))]
        for sign, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("Texts", (base,), {"yaml_implicit_resolvers": kept})
    try:
        _check_aliases(yaml.parse(text, loader))
        head = yaml.load(text, loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return head if isinstance(head, dict) else {}


def _check_aliases(events: Iterable[Any]) -> None:
    """Refuse YAML whose aliases, written out, would be more than memory holds.

    Raises:
        ValueError: they stand for more than `_MOST_VALUES`, or for what they stand in themselves.
    """
    import yaml

    sizes: dict[str, int] = {}
    opened: list[tuple[str, int]] = []
    total = 0  # Values so far, aliases written out.
    for event in events:
        anchor, start = getattr(event, "anchor", None) or "", total
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = opened.pop()
        if isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                raise ValueError(f"the alias *{anchor} names nothing before it, or itself")
            total += sizes[anchor]
        else:
            total += 1
            if anchor and not isinstance(event, yaml.CollectionStartEvent):
                sizes[anchor] = total - start
        if total > _MOST_VALUES:
            raise ValueError("it has more than a million values, its aliases written out")


def _configurations(head: Mapping[str, Any]) -> Iterator[Configuration]:
    """Yield the configurations whose files the head of a README.md lists."""
    for part in _dicts(head.get("configs")):
        folder = str(part.get("data_dir") or "").strip("/")
        prefix = f"{folder}/" if folder else ""
        files = part.get("data_files") or ("**" if folder else [])
        entries = files if isinstance(files, list) else [files]
        listed = []
        for entry in entries:
            split = entry.get("split", "") if isinstance(entry, dict) else ""
            paths = entry.get("path", []) if isinstance(entry, dict) else entry
            for path in paths if isinstance(paths, list) else [paths]:
                listed.append((str(split), prefix + str(path).removeprefix("./")))
        if listed:
            yield Configuration(str(part.get("config_name", "default")), tuple(listed))


def _class_names(head: Mapping[str, Any]) -> dict[str, ClassNames]:
    """Return the class names that the head of a README.md lists, by configuration and column."""
    infos = head.get("dataset_info")
    parts = _dicts(infos if isinstance(infos, list) else [infos])
    return {
        str(part.get("config_name", "")): {
            str(feature.get("name")): names
            for feature in _dicts(part.get("features"))
            if (names := _names_in(_inside(feature, "dtype", "class_label", "names")))
        }
        for part in parts
    }


def _licence(head: Mapping[str, Any]) -> str:
    licence = head.get("license") or ""
    if licence == "other":
        licence = head.get("license_name") or licence
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)


def read_info(folder: Path) -> ClassNames:
    """Return the class names by column of the dataset_info.json of a folder, if it has one.

    Raises:
        XprobeError: the file cannot be read.
    """
    info = read_json(folder / INFO) if (folder / INFO).is_file() else {}
    return names_of_features(info.get("features"))


def names_of_features(features: Any) -> ClassNames:
    """Return the class names by column of features as Hugging Face describes them in JSON."""
    columns = features if isinstance(features, dict) else {}
    return {
        str(column): names
        for column, feature in columns.items()
        if isinstance(feature, dict) and (names := _names_in(feature.get("names")))
    }


def read_json(file: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file of a data set.

    Raises:
        XprobeError: the file cannot be read, or holds something else.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise XprobeError(f"{file}: it cannot be read ({first_line(error)}); write the data set "
                          f"again") from error  # fmt: skip
    if not isinstance(value, dict):
        raise XprobeError(f"{file}: it holds no object; write the data set again")
    return value


def _names_in(names: Any) -> tuple[str, ...]:
    """Return class names that are a list, or texts by their numbers."""
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(i)) for i in range(len(numbered))]
    if not isinstance(names, list) or None in names:
        return ()
    return tuple(map(str, names))


def _fits(file: str, pattern: str) -> bool:
    """Return whether a pattern names a file; one star stands for no slash.

    Two stars between slashes stand for any folders, and for none.
    """
    first, *patterns = pattern.split("/")
    name, *names = file.split("/")
    if first == "**" and patterns:
        rests = ("/".join((name, *names)[i:]) for i in range(len(names) + 1))
        return any(_fits(rest, "/".join(patterns)) for rest in rests)
    if not names or not patterns:
        return first == "**" or (names == patterns and fnmatchcase(name, first))
    return fnmatchcase(name, first) and _fits("/".join(names), "/".join(patterns))


def _dicts(values: Any) -> list[Mapping[str, Any]]:
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )


def _inside(value: Any, *keys: str) -> Any:
    """Return what lies below some keys, None if it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
