"""Text of others made visible: what a terminal would obey, or nobody would see, is written out.

Names of files, classes and generators come from folders that somebody else may have made, and
messages from libraries. A name such as ``a<ESC>]0;owned<BEL>`` would change the reader's terminal,
one with a right-to-left override would read as another name, and a line break would make two lines.
"""

from __future__ import annotations

import json
import re

# Controls (C0, DEL, C1) and line separators; soft hyphens, characters of no width, and those that
# turn the direction of writing; tags; and halves of characters, which no encoding can hold.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return text on one line in which each hidden character is written as in Python: ``\x1b``."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def visible_json(text: str) -> str:
    r"""Return the same JSON with each hidden character of a text as JSON writes it: ``\u202e``.

    Args:
        text: JSON without controls beside those that end its lines, as `json.dumps` writes it.
    """
    return _HIDDEN.sub(lambda m: m[0] if m[0] == "\n" else json.dumps(m[0])[1:-1], text)
