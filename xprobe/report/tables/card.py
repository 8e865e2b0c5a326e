"""README.md of a folder of tables, by which Hugging Face's datasets library opens them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

CARD = "README.md"

MARK = "xprobe"
"""The tag by which a card is known as one that xprobe wrote."""

# What the hub calls licences, of those that data/tables/licences.csv names.
_HUB_LICENCES = frozenset(
    ("mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")
)

Files = Mapping[str, str]
"""Pattern of files by the name of a split."""


def card(
    configurations: Mapping[str, Files], title: str, lines: Sequence[str], licences: Iterable[str]
) -> bytes:
    """Return the content of a card.

    Args:
        configurations: files by split, by the name under which ``load_dataset(folder, name)`` opens
            them; the first is the default one.
        title: what the folder holds, its heading.
        lines: paragraphs in Markdown below it.
        licences: licences of what the folder holds, an empty one is not known; none: it holds
            nothing that stands under one.
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
    """Return a text as YAML has it, of which JSON's texts are a part."""
    return json.dumps(text, ensure_ascii=False)
