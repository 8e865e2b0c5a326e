"""What a survey of the images warns of."""

from __future__ import annotations

from xprobe.images.survey import Shape, codec_problems


def shapes(real: list[str], synthetic: list[str]) -> list[Shape]:
    size = (8, 8, 8)
    return [
        Shape(source=source, format=kind, n=2, width=size, height=size)
        for source, kinds in (("real", real), ("synthetic", synthetic))
        for kind in kinds
    ]


def test_formats_that_leave_traces_in_pixels_are_told_with_the_remedy() -> None:
    (said,) = codec_problems(shapes(["JPEG"], ["PNG"]))
    assert said.startswith("real images are JPEG but synthetic images are PNG: traces of compre")
    assert said.endswith("--match-codec jpeg-90")
    assert codec_problems(shapes(["PNG", "JPEG"], ["PNG"]))
    assert codec_problems(shapes(["WEBP"], ["JPEG"]))


def test_formats_that_keep_every_pixel_count_as_one() -> None:
    for kind in ("TIFF", "PPM", "BMP", "PNG"):
        assert not codec_problems(shapes([kind], ["PNG"]))
    assert not codec_problems(shapes(["TIFF", "JPEG"], ["JPEG", "PNG"]))
    assert not codec_problems(shapes(["JPEG"], []))
