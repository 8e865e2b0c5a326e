"""In what studies differ, in words: by it two are told apart that have one title."""

from __future__ import annotations

from collections.abc import Sequence

from xprobe.base.documents import replace, to_json
from xprobe.report.words import study_title
from xprobe.results.study import Study

ID_LENGTH = 8
"""So many digits of a study's id are shown; they tell the studies of a folder apart."""


def differences(study: Study, other: Study) -> list[str]:
    """Return in words what a study has unlike another one."""
    words = ["other images"] if study.manifest.fingerprint != other.manifest.fingerprint else []
    words += ["other weights or preprocessing"] if study.encoder.key != other.encoder.key else []
    options, others = _options(study), _options(other)
    names = dict.fromkeys([*options, *others])
    words += [
        _option(name, options.get(name)) for name in names if options.get(name) != others.get(name)
    ]
    if study.prompts != other.prompts:
        words.append("other prompts" if study.prompts else "no prompts")
    if study.version != other.version:
        words.append(f"judged by the rules of version {study.version}")
    return words


def told_apart(studies: Sequence[Study]) -> list[Study]:
    """Return studies of which no two have one title: those that share one are named anew.

    The name says which of their options differ; where none do, of which generators they are, and
    as the last resort their ids.
    """
    sharing: dict[str, list[Study]] = {}
    for study in studies:
        sharing.setdefault(study_title(study), []).append(study)
    names = {
        study.key: f"{title} · {words}"
        for title, several in sharing.items()
        if len(several) > 1
        for study, words in zip(several, _own_words(several), strict=True)
    }
    return [
        replace(study, name=names[study.key]) if study.key in names else study for study in studies
    ]


def _own_words(studies: Sequence[Study]) -> list[str]:
    """Return what tells each of some studies from the others."""
    configs = [_options(study) for study in studies]
    names = dict.fromkeys(name for config in configs for name in config)
    differing = [name for name in names if len({repr(c.get(name)) for c in configs}) > 1]
    choices = [
        [", ".join(_option(name, config.get(name)) for name in differing) for config in configs],
        [", ".join(study.generators) for study in studies],
    ]
    clear = (words for words in choices if len({*words, ""}) > len(studies))
    return next(clear, [study.key for study in studies])


def _options(study: Study) -> dict[str, object]:
    """Return the options of a study by name; the value of one that is switched off is None."""
    options = to_json(study.config)
    return {name: None if _is_off(value) else value for name, value in options.items()}


def _is_off(value: object) -> bool:
    return value is False or value in ("", [])


def _option(name: str, value: object) -> str:
    """Return how people read an option of a study; of a recipe its name says enough."""
    if name == "per_class":
        return f"{'all' if value is None else value} real images of each class"
    if name == "errors_by":
        return f"errors by {value or 'group'}"
    words = name.replace("_", " ")
    if value is True or value is None:
        return words if value else f"no {words}"
    if isinstance(value, dict):
        return f"another {words}"
    values = value if isinstance(value, list) else [value]
    return f"{words} {', '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)}"
