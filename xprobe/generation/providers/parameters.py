"""Parameters of a request, by the names that the SDK of a service has for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from xprobe.base.errors import XprobeError, did_you_mean
from xprobe.generation.base import Parameter, Request

SEED = "seed"


def check(provider: str, given: Mapping[str, Parameter], known: Collection[str]) -> None:
    """Refuse a parameter before anything is sent.

    The seed follows from each request; ``seed=false`` leaves it out, for models that take none.

    Raises:
        XprobeError: a name is unknown, or the seed is given.
    """
    for name, value in given.items():
        if name == SEED and value is not False:
            raise XprobeError(
                f"provider {provider}: each image has a seed of its own, which is recorded; "
                f"seed=false sends none, for models that refuse it"
            )
        if name != SEED and name not in known:
            raise XprobeError(
                f"provider {provider}: unknown parameter {name!r}{did_you_mean(name, known)}; "
                f"known: {', '.join(sorted(known))}"
            )


def seed_of(request: Request) -> int | None:
    """Return the seed that is sent with a request; None: none is."""
    return None if request.parameters.get(SEED) is False else request.seed


def sent(request: Request) -> dict[str, Parameter | None]:
    """Return the parameters of a request as they are sent, its seed among them."""
    return {**request.parameters, SEED: seed_of(request)}
