"""A provider by hand: files to be taken to a web page, and images that are brought back."""

from __future__ import annotations

from collections.abc import Sequence

from xprobe.base import atomic
from xprobe.base.errors import OptionError
from xprobe.generation.base import (
    Answer,
    ListedModel,
    LostError,
    RefusedError,
    Request,
    WaitingError,
)
from xprobe.generation.pictures import picture_of
from xprobe.generation.registry import Access
from xprobe.generation.table import DONE, TO_DO
from xprobe.images.formats import kind_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG", ".WEBP")

_SUFFIX_OF = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}


class Folder:
    """Writes ``to-do/<key>.png`` (the source) and ``to-do/<key>.txt`` (the prompt), and takes
    ``done/<key>.png``, ``.jpg`` or ``.webp``.

    The suffix of the source is that of its format. What was brought back stays where it is.
    """

    hosts: tuple[str, ...] = ()
    batch = 1

    def __init__(self, access: Access) -> None:
        """Take the folder of the generated images, in which both folders are."""
        if access.parameters:
            name = next(iter(access.parameters))
            raise OptionError(f"--param {name}: provider folder takes none; a person does it")
        self.out, self.back = access.folder / TO_DO, access.folder / DONE

    def make(self, requests: Sequence[Request]) -> Sequence[Answer | RefusedError]:
        """Return the image of a request, if it was brought back.

        Raises:
            WaitingError: it was not, or not whole; what is to be taken to a web page lies there.
        """
        (request,) = requests
        for suffix in SUFFIXES:
            file = self.back / f"{request.key}{suffix}"
            if file.is_file():
                content = file.read_bytes()
                try:
                    picture_of(content)
                except LostError as error:  # It may still be on its way.
                    reason = str(error).replace("the answer", "what came back")
                    raise WaitingError(f"lies in {file}, but {reason}; replace it") from error
                for done in self.out.glob(f"{request.key}.*"):
                    done.unlink(missing_ok=True)  # What is left there is what is to be done.
                return [Answer(content)]
        self.back.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        if request.image is not None:
            suffix = _SUFFIX_OF[kind_of(request.image)]
            atomic.put(self.out / f"{request.key}{suffix}", request.image)
        atomic.put(self.out / f"{request.key}.txt", f"{request.prompt}\n".encode())
        raise WaitingError(f"is to be made from {self.out} by hand, and put into {self.back}")

    def models(self) -> Sequence[ListedModel]:
        """Return nothing: any web page will do."""
        return []
