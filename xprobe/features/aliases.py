"""Which encoders of a store are meant, and the short names that people give them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from xprobe.base import documents
from xprobe.base.declared import split_names
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.encoders.names import asked_aliases, split_alias
from xprobe.encoders.presets import ENCODERS
from xprobe.features.catalogue import RECORD_REMEDY, read_catalogue
from xprobe.features.inside import read_record
from xprobe.features.records import EncoderRecord
from xprobe.features.shards import Index, StoredEncoder
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest


def choose_encoders(
    store: Store, manifest: Manifest, names: Sequence[str]
) -> list[tuple[StoredEncoder, Index]]:
    """Return the stored encoders of some names, or all that have features of a manifest.

    A text may list several names with commas. Each encoder comes with its index, because reading
    one opens every shard. Without names, encoders that cannot be used are left out, with a warning.
    ``ALIAS=name`` also gives that encoder the alias.

    Raises:
        XprobeError: no encoder has features of these images; an alias that another encoder has.
    """
    if names:
        named = _encoders_named(store, names)
        chosen = [(encoder, store.index(encoder)) for encoder in named]
    else:
        every = ((encoder, store.index(encoder)) for encoder in store.encoders())
        chosen = [(e, i) for e, i in every if any(d in i.rows for d in manifest.sha256)]
        for unusable in store.unusable_encoders():
            warnings.warn(f"{unusable}; until then it is left out", XprobeWarning, stacklevel=2)
    if not chosen:
        raise XprobeError(
            f"{store.folder} has no features of these images; run 'xprobe embed' first, and name "
            f"the same images"
        )
    return chosen


def _encoders_named(store: Store, names: Sequence[str]) -> list[StoredEncoder]:
    """Return the encoders of some names, each once, after they were given their aliases."""
    named: dict[str, StoredEncoder] = {}
    aliases: dict[str, str] = {}
    whole = split_names(names, lambda name: store.has(split_alias(name)[1]))
    for name, alias in asked_aliases(whole).items():
        encoders = store.find(name)
        if alias and len(encoders) > 1:
            labels = store.labels()
            raise XprobeError(
                f"{store.folder} has several encoders called {name}, and one of them alone can be "
                f"{alias}; name {' or '.join(labels[encoder.key] for encoder in encoders)}"
            )
        named |= {encoder.key: encoder for encoder in encoders}
        aliases |= {encoder.key: alias for encoder in encoders if alias}
    give_aliases(store, aliases)
    return list(named.values())


def check_aliases(store: Store, aliases: Mapping[str, str]) -> None:
    """Refuse aliases that other encoders of a store have.

    Args:
        store: the store, which need not have these encoders yet.
        aliases: key of an encoder → its alias from now on.

    Raises:
        XprobeError: another encoder has the alias, or is called so.
    """
    known = store.encoders() if aliases else []
    for key, alias in aliases.items():
        for other in known:
            theirs = aliases.get(other.key, other.alias)
            if other.key != key and alias in (theirs, other.name):
                raise XprobeError(
                    f"{store.folder}: {alias} is what {other.name} (key {other.key[:8]}) is called "
                    f"there; choose another short name"
                )


def give_aliases(store: Store, aliases: Mapping[str, str]) -> None:
    """Give encoders of a store short names, in place of those that they have.

    Renaming an encoder changes none of its features. A warning names each encoder that had another
    short name before.

    Raises:
        XprobeError: as `check_aliases`; then no encoder gets one.
    """
    check_aliases(store, aliases)
    renamed = [e for e in store.encoders() if aliases.get(e.key, e.alias) != e.alias]
    for encoder in renamed:
        alias = aliases[encoder.key]
        if encoder.alias:
            text = f"{encoder.name} was called {encoder.alias}, and is {alias} from now on"
            warnings.warn(text, XprobeWarning, stacklevel=2)
        file = encoder.folder / "encoder.json"
        record = read_record(EncoderRecord, file, RECORD_REMEDY)
        documents.write(file, documents.replace(record, alias=alias))


def whole_names(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the encoders that a user asks for: whole name → alias, or nothing.

    The alias of an encoder that the store in a folder has stands for its whole name.

    Raises:
        XprobeError: an alias that cannot be one, or that is given twice.
    """
    asked = asked_aliases(names)
    known: dict[str, str] = {}
    if any(":" not in name and name not in ENCODERS for name in asked) and folder.is_dir():
        known = {e.alias: e.name for e in read_catalogue(folder).known if e.alias}
    return {known.get(name, name): alias for name, alias in asked.items()}
