"""Data sets of the Hugging Face hub by name: from the cache of this machine, else fetched."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xprobe.base.errors import XprobeError, XprobeWarning, first_few, first_line
from xprobe.base.network import check_network
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.huggingface.card import README, Card, read_card
from xprobe.images.sources.huggingface.rows import read_folder
from xprobe.images.sources.huggingface.tree import (
    PARQUET,
    by_configuration,
    is_saved,
    missing_shard,
    shard_names,
)
from xprobe.images.sources.tree import Folder

_CONVERTED = "refs/convert/parquet"

# What says how the rows lie; it is fetched first.
_DESCRIPTIONS = (README, "*dataset_info.json", "*dataset_dict.json", "*state.json")

_ROWS = ("*.parquet", "*.arrow")

_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(/(?P<part>[^@]+))?(@(?P<revision>.+))?")


@dataclass(frozen=True)
class HubName:
    """A data set of the hub as a user names it.

    Attributes:
        repository: ``owner/name``.
        part: its configuration that is meant, or a folder that was saved to disk; empty: the whole.
        revision: a branch, tag or commit; empty: the main branch.
    """

    repository: str
    part: str = ""
    revision: str = ""

    def __str__(self) -> str:
        part = f"/{self.part}" if self.part else ""
        return f"hf:{self.repository}{part}{f'@{self.revision}' if self.revision else ''}"


def read(data: Path, group: str, form: FormConfig) -> tuple[list[Row], Path]:
    """Return the rows of a data set of the hub, and the folder of its snapshot on this machine.

    The column ``dataset`` says of which commit they are: ``hf:owner/name@commit``.

    Args:
        data: ``owner/name[/PART][@REVISION]``.
        group: column that says which images belong together; empty: none.
        form: what options say of the form.

    Raises:
        XprobeError: it is not on this machine and cannot be fetched, or cannot be read.
    """
    named = _named(str(data))
    snapshot = _snapshot(named)
    name = f"hf:{named.repository}"
    commit = f"{name}@{snapshot.name}"
    if named.part and is_saved(snapshot / named.part):
        folder = snapshot / named.part
        rows = read_folder(folder, str(named), group, form)
        return [row | {"dataset": commit} for row in rows], folder
    rows = read_folder(snapshot, name, group, form, named.part)
    return [row | {"dataset": commit} for row in rows], snapshot


def _named(name: str) -> HubName:
    """Return what ``owner/name[/PART][@REVISION]`` names.

    Raises:
        XprobeError: it is no such name.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    match = _NAME.fullmatch(name)
    try:
        if match is None or ".." in re.split("[/@]", name):
            raise HFValidationError(name)
        validate_repo_id(match["repository"])
    except HFValidationError as error:
        raise XprobeError(
            f"hf:{name}: name a data set as its page on the hub does, owner and name, such as "
            f"hf:owner/name, with /CONFIG and @REVISION behind it if need be"
        ) from error
    return HubName(*(match[key] or "" for key in ("repository", "part", "revision")))


def _snapshot(named: HubName) -> Path:
    """Return the folder of a data set at a commit: from the cache without any network, or fetched.

    Raises:
        XprobeError: it is not whole on this machine and cannot be fetched, or holds no rows.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    cached = _cached(named)
    if cached is not None and _is_whole(cached, named):
        return cached
    if cached is not None and not _files_of(cached, named):
        _refuse_script(named, (file.name for file in cached.iterdir()))
    revision = f" --revision {named.revision}" if named.revision else ""
    missing = (
        f"{named}: {named.repository} is not on this machine, or not all of it; run 'hf download "
        f"{named.repository} --repo-type dataset{revision}' on one with a network and copy "
        f"{HF_HUB_CACHE} here; or set HF_ENDPOINT to a mirror; or name a local folder instead"
    )
    check_network(ENDPOINT, missing)
    warnings.warn(XprobeWarning(f"{named.repository} is fetched to {HF_HUB_CACHE}"), stacklevel=2)
    return _fetched(named, missing)


def _cached(named: HubName) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                named.repository, repo_type="dataset", revision=named.revision or None,
                local_files_only=True,
            )
        )  # fmt: skip
    except LocalEntryNotFoundError:
        return None


def _fetched(named: HubName, missing: str) -> Path:
    """Fetch the rows that are asked for, and what describes them.

    Raises:
        XprobeError: they cannot be fetched, or there are none.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"https://huggingface.co/datasets/{named.repository}"
    try:
        card = read_card(_download(named, _DESCRIPTIONS))
        snapshot = _download(named, (*_DESCRIPTIONS, *_patterns(named, card)))
        if not _files_of(snapshot, named):
            raise _without_rows(named, card)
        return snapshot
    except XprobeError:
        raise
    except GatedRepoError as error:
        raise XprobeError(
            f"{named}: its owner asks for consent; give it on {page}, then run 'hf auth login', or "
            f"set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise XprobeError(
            f"{named}: the hub has no data set {named.repository}, or it is private; correct the "
            f"name, or run 'hf auth login', or set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise XprobeError(
            f"{named}: {named.repository} has no revision {named.revision}; {page}/tree/main lists "
            f"them"
        ) from error
    except Exception as error:  # The hub raises a dozen types of errors.
        raise XprobeError(f"{missing} [the download failed: {first_line(error)}]") from error


def _download(named: HubName, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            named.repository, repo_type="dataset", revision=named.revision or None,
            allow_patterns=list(patterns),
        )
    )  # fmt: skip


def _patterns(named: HubName, card: Card) -> tuple[str, ...]:
    """Return patterns of the files of rows that are asked for.

    Raises:
        XprobeError: there are several configurations, and none is asked for.
    """
    parts = {part.name: part for part in card.configurations}
    if not named.part:
        if len(parts) > 1:
            raise _several(named, parts)
        return _ROWS
    if named.part in parts:
        return tuple(pattern for _, pattern in parts[named.part].files)
    return tuple(f"{named.part}/{pattern}" for pattern in _ROWS)


def _several(named: HubName, parts: Iterable[str]) -> XprobeError:
    parts = list(parts)
    revision = f"@{named.revision}" if named.revision else ""
    return XprobeError(
        f"{named}: it holds several configurations, {first_few(parts, 10)}; name one, such as "
        f"hf:{named.repository}/{parts[0]}{revision}"
    )


def _files_of(snapshot: Path, named: HubName) -> list[str]:
    """Return the files of rows in a snapshot of what is asked for."""
    part = snapshot / named.part
    if is_saved(part):
        return [file.relative_to(part).as_posix() for file in part.rglob("*.arrow")]
    names = list(shard_names(Folder(str(snapshot))))
    if not named.part:
        return names
    splits = by_configuration(names, read_card(snapshot)).get(named.part, {})
    return [name for files in splits.values() for name in files]


def _is_whole(snapshot: Path, named: HubName) -> bool:
    """Return whether all that is asked for is in a snapshot, as far as names tell.

    Raises:
        XprobeError: there are several configurations, and none is asked for.
    """
    files = _files_of(snapshot, named)
    if not files or missing_shard(files):
        return False
    parts = {part.name: part for part in read_card(snapshot).configurations}
    if not named.part and len(parts) > 1:
        raise _several(named, parts)
    return all(part.is_whole(files) for name, part in parts.items() if named.part in ("", name))


def _without_rows(named: HubName, card: Card) -> XprobeError:
    """Return the error of a data set of the hub that has no Parquet or Arrow files as asked for."""
    from huggingface_hub import HfApi

    files = HfApi().list_repo_files(
        named.repository, repo_type="dataset", revision=named.revision or None
    )
    if parts := by_configuration([file for file in files if file.endswith(PARQUET)], card):
        return XprobeError(
            f"{named}: no configuration {named.part}; there are {first_few(parts, 10)}"
        )
    _refuse_script(named, files)
    suffixes = Counter(PurePosixPath(file).suffix for file in files)
    kinds = first_few([suffix for suffix, _ in suffixes.most_common() if suffix]) or "nothing"
    return XprobeError(
        f"{named}: it holds no Parquet or Arrow files, but {kinds}; {_instead(named)}"
    )


def _refuse_script(named: HubName, files: Iterable[str]) -> None:
    """Refuse a data set that a script of its own makes.

    Raises:
        XprobeError: it is one.
    """
    script = f"{named.repository.partition('/')[2]}.py"
    if script in files:
        raise XprobeError(
            f"{named}: it is made by a script, {script}, which is never run; {_instead(named)}"
        )


def _instead(named: HubName) -> str:
    """Return what to do where a data set has no rows that can be read."""
    folder = "download it and name its folder"
    if named.revision == _CONVERTED:
        return folder
    return f"name what the hub made of it, hf:{named.repository}@{_CONVERTED}, or {folder}"
