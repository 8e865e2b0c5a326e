"""README.md of a folder of tables, by which Hugging Face's datasets library opens them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

CARD = "README.md"

MARK = "xprobe"
"""The tag by which a card is known as one that xprobe wrote."""

# Licences that have the same name on the hub as in data/tables/licences.csv.
_HUB_LICENCES = frozenset(
    ("mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")
)

Files = Mapping[str, str]
"""Name of a split → pattern of its files."""


def card(
    configurations: Mapping[str, Files], title: str, lines: Sequence[str], licences: Iterable[str]
) -> bytes:
    """Return the content of a card: what the datasets library must know, and then text for people.

    Args:
        configurations: name of a part of the data set, by which ``load_dataset(folder, name)``
            opens it → its files; the first part is opened without a name.
        title: the heading.
        lines: paragraphs below it, in Markdown.
        licences: licences of the images in the folder; an empty text is a licence that is not
            known. Without any, the card says nothing of licences.
    """
    head = [f"tags: [{MARK}]"]
    if names := set(licences):
        head.append(f"license: {_hub_licence(names)}")
    head.append("configs:")
    for number, (name, files) in enumerate(configurations.items()):
        head += [f"- config_name: {_quoted(name)}", *(["  default: true"] if number == 0 else [])]
        head += ["  data_files:"]
        for split, pattern in files.items():
            head += [f"  - split: {_quoted(split)}", f"    path: {_quoted(pattern)}"]
    body = "\n\n".join([f"# {title}", *lines])
    return ("\n".join(["---", *head, "---", ""]) + f"\n{body}\n").encode()


def is_card(content: bytes) -> bool:
    """Return whether a card is one that xprobe wrote."""
    return content.startswith(f"---\ntags: [{MARK}]\n".encode())


def _hub_licence(licences: set[str]) -> str:
    """Return the licence of a whole folder as the hub calls it: one, ``other`` or ``unknown``."""
    names = {name.casefold() or "unknown" for name in licences}
    (name, *more) = sorted(names)
    return name if not more and name in {*_HUB_LICENCES, "unknown"} else "other"


def _quoted(text: str) -> str:
    """Return a text as YAML writes it, which takes it as JSON does, too."""
    return json.dumps(text, ensure_ascii=False)
