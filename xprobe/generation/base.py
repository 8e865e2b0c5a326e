"""What is asked of a provider of generated images, what it answers, and how it may fail.

A provider is a service or a local pipeline that makes images. It is asked for one image a request,
and says of every failure whether the image may have been paid for: that alone decides what may be
asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Parameter = str | int | float | bool
"""The value of a parameter of a provider, such as ``quality=low`` or ``steps=50``."""


@dataclass(frozen=True, eq=False)
class Request:
    """One image that is to be made.

    Attributes:
        key: what identifies the request: equal keys ask for the same image (`plan.key_of`).
        model: the provider's name of the model.
        prompt: the text that is sent.
        parameters: further parameters, by the provider's names.
        seed: seed of the image, 0 … 2³¹ − 1, for providers that take one; it follows from the key.
        image: content of the image to edit, a PNG, JPEG or WebP; None: text alone is sent.
        polygons: outlines of the objects in `image`, as `images.polygons` writes them; empty: none.
    """

    key: str
    model: str
    prompt: str
    parameters: Mapping[str, Parameter]
    seed: int
    image: bytes | None = None
    polygons: str = ""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a provider gave for a request.

    Attributes:
        content: the image exactly as it was received.
        media_type: what the provider says that it is, such as ``image/png``; empty: nothing.
        cost: what was paid, in dollars, as the provider says; None: it does not say.
        usage: tokens that were billed, by kind: ``text_in``, ``image_in``, ``image_out``.
        request_id: the provider's name of the request, for questions to it.
        seed: the seed that the image was made with; None: the provider takes none.
        n_images: how many images the answer held; the first is `content`.
    """

    content: bytes
    media_type: str = ""
    cost: float | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    request_id: str = ""
    seed: int | None = None
    n_images: int = 1


class NotMadeError(Exception):
    """No image was made and nothing was paid, for a reason that passes; it may be asked again.

    Attributes:
        after_s: seconds that the provider asks to wait; None: it does not say.
    """

    def __init__(self, words: str, after_s: float | None = None) -> None:
        super().__init__(words)
        self.after_s = after_s


class RefusedError(Exception):
    """The provider will not make this image, such as after moderation; asking again is no use.

    Attributes:
        cost: what was paid for the refusal, in dollars; None: the provider does not say.
    """

    def __init__(self, words: str, cost: float | None = None) -> None:
        super().__init__(words)
        self.cost = cost


class LostError(Exception):
    """The request was sent and its answer is lost or no image: it may have been paid for."""


class StoppedError(Exception):
    """The provider will make no image for now: a wrong key, a used-up quota, a billing limit."""


class WaitingError(Exception):
    """A person has to make the image; it is there another time."""


@dataclass(frozen=True)
class ListedModel:
    """A model that a provider lists itself.

    Attributes:
        name: the provider's name of the model.
        price: what an image costs, in the provider's words; empty: it does not say.
    """

    name: str
    price: str = ""


class Provider(Protocol):
    """A service or a local pipeline that makes images; it is made by `registry.ProviderKind.open`.

    Attributes:
        hosts: names of the hosts that requests go to; empty: nothing leaves this machine, and
            nothing is paid.
        batch: how many requests one call of `make` takes at most; 1 for services.
    """

    hosts: tuple[str, ...]
    batch: int

    def make(self, requests: Sequence[Request]) -> Sequence[Answer | RefusedError]:
        """Return an answer for each request, in order.

        It is called from some threads more than requests may be under way at once: a service
        enters `Access.slots` while one is.

        Raises:
            NotMadeError, LostError, StoppedError, WaitingError: of all the requests.
            RefusedError: of a single request.
        """
        ...

    def models(self) -> Sequence[ListedModel]:
        """Ask the provider which models for images it offers at present, and return them.

        Raises:
            NotMadeError, StoppedError: it cannot be asked now.
        """
        ...
