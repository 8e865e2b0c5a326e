"""Which samples are decoded: as the options say, measured where they ask for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pytest
from makers import tiff_of
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.encoders import load as encoders
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.config import EmbedConfig, Stretch
from xprobe.features.embed import embed_all
from xprobe.features.reading import reading_of
from xprobe.features.store import Store
from xprobe.images import read as manifests
from xprobe.images.manifest import Manifest
from xprobe.images.resize import PREPROCESSING
from xprobe.images.samples import Reading


@pytest.fixture
def deep(make_data: Callable[..., Path]) -> Manifest:
    """Real images of 11 bits in files of 16, grey; synthetic ones of 8 bits."""
    data = make_data(real=4, synthetic=4)
    for file in sorted((data / "real").rglob("*.png")):
        grey = np.asarray(Image.open(file).convert("L")).astype(np.uint16) * 8
        Image.fromarray(grey).save(file)
    return manifests.read(data)


def rows(folder: Path, manifest: Manifest) -> np.ndarray:
    store = Store(folder)
    return store.read(store.find("hog")[0], manifest)[0].x


def test_without_options_a_small_range_is_warned_about(deep: Manifest) -> None:
    with pytest.warns(match="real images of 16 bits use .* % of the range"):
        assert reading_of(deep, (), None) == Reading()


def test_a_stretch_gives_the_features_of_8_bits(
    deep: Manifest, tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    embed_all(deep, ["hog"], tmp_path / "deep", EmbedConfig(stretch=Stretch(0, 2040)))
    data = make_data(real=4, synthetic=4, name="plain")
    for file in sorted((data / "real").rglob("*.png")):
        Image.open(file).convert("L").save(file)
    plain = manifests.read(data)
    embed_all(plain, ["hog"], tmp_path / "plain")
    assert deep.id.tolist() == plain.id.tolist()
    np.testing.assert_array_equal(rows(tmp_path / "deep", deep), rows(tmp_path / "plain", plain))
    (stored,) = Store(tmp_path / "deep").encoders()
    assert stored.spec.stretch == (0, 2040)
    assert stored.key != Store(tmp_path / "plain").encoders()[0].key


def as_files(data: Path, write: Callable[[np.ndarray], bytes], suffix: str) -> Manifest:
    """Write the scenes of a satellite, 4 bands of 11 bits at 16 px, in place of real images."""
    rng = np.random.default_rng(0)
    for file in sorted((data / "real").rglob("*.png")):
        file.unlink()
        file.with_suffix(suffix).write_bytes(write(rng.integers(0, 2200, (4, 16, 16))))
    manifest = manifests.read(data)
    return manifest.select(np.flatnonzero(manifest.source == "real"))


def test_a_geotiff_has_the_features_of_its_8_bit_rendering(
    tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    """Four bands of 16 bits, stretched, against PNG files of the same scenes.

    A sample x is x' = 255 (x - low) / (high - low) levels. We round x' to the nearest level: half a
    level off at most. A rendering by the same rule has the same pixels, and features to the bit.
    One that rounds otherwise, as by cutting digits off, is an integer less than a level from x',
    so that the two are at most one level apart; raw pixels differ by 1/255 at most.
    """
    low, high = 40.0, 2047.0

    def levels(scene: np.ndarray) -> np.ndarray:
        picture = np.moveaxis(scene[[2, 1, 0]], 0, 2)
        return np.clip((picture - low) * (255 / (high - low)), 0, 255)

    def png(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    sets = {
        "deep": as_files(
            make_data(name="deep"),
            lambda scene: tiff_of(scene.astype(np.uint16), photometric="RGB", compress="lzw"),
            ".tif",
        ),
        "rounded": as_files(make_data(name="r"), lambda s: png(np.rint(levels(s))), ".png"),
        "cut": as_files(make_data(name="c"), lambda s: png(np.floor(levels(s))), ".png"),
    }
    x = {}
    for name, manifest in sets.items():
        config = EmbedConfig(bands=(3, 2, 1), stretch=Stretch(low, high))
        embed_all(manifest, ["pixels", "hog"], tmp_path / name,
                  config if name == "deep" else EmbedConfig())  # fmt: skip
        store = Store(tmp_path / name)
        for encoder in ("pixels", "hog"):
            x[name, encoder] = store.read(store.find(encoder)[0], manifest)[0].x
    for encoder in ("pixels", "hog"):
        np.testing.assert_array_equal(x["deep", encoder], x["rounded", encoder])
    difference = np.abs(x["deep", "pixels"] - x["cut", "pixels"])
    assert 0 < difference.max() <= 1 / 255 + np.finfo(np.float32).eps


def test_the_extra_changes_no_key() -> None:
    """Features of images that Pillow reads whole are those of older versions."""
    spec = encoders.load("pixels", reading=Reading((4, 3, 2), (0, 2750))).spec
    assert spec.preprocessing == f"{PREPROCESSING}/"
    assert PREPROCESSING == f"1/pillow-{PIL.__version__.split('.')[0]}"


def test_percentiles_are_resolved_once_and_stand_in_the_spec(
    deep: Manifest, tmp_path: Path
) -> None:
    with pytest.warns(match="the range is --stretch "):
        embed_all(deep, ["hog"], tmp_path / "f", EmbedConfig(stretch=Stretch(2, 98, True)))
    (stored,) = Store(tmp_path / "f").encoders()
    low, high = stored.spec.stretch
    assert 0 < low < high < 2040
    embed_all(deep, ["hog"], tmp_path / "f", EmbedConfig(stretch=Stretch(low, high)))
    assert len(Store(tmp_path / "f").encoders()) == 1
    (tmp_path / "list.txt").write_text("x.png\n")
    with pytest.raises(XprobeError, match="name the range as --stretch LOW:HIGH"):
        reading_of(tmp_path / "list.txt", (), Stretch(2, 98, True))


def test_a_stream_is_looked_at_as_well(deep: Manifest, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(deep.path[deep.source == "real"]))
    with pytest.warns(match="^images of 16 bits use"):
        assert reading_of(tmp_path / "list.txt", (1,), None) == Reading((1,))


def test_what_is_not_asked_for_changes_no_key() -> None:
    spec = encoders.load("hog").spec
    assert spec.key == encoders.load("hog", reading=Reading()).spec.key
    keys = {encoders.load("hog", reading=r).spec.key for r in (
        Reading(), Reading((1, 2, 3)), Reading((3, 2, 1)), Reading(stretch=(0, 2047)),
        Reading((1, 2, 3), (0, 2047)),
    )}  # fmt: skip
    assert len(keys) == 5
    floats = encoders.load("hog", reading=Reading(stretch=(0.0, 2047.0))).spec
    assert floats.key in keys
    assert spec.reading == Reading()
    assert isinstance(spec, EncoderSpec)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bands", "1,2,3", (1, 2, 3)),
        ("bands", "5, 3, 2", (5, 3, 2)),
        ("bands", "8", (8,)),
        ("stretch", "0:2047", Stretch(0, 2047)),
        ("stretch", "-0.1:1e4", Stretch(-0.1, 1e4)),
        ("stretch", "percentile:2,98", Stretch(2, 98, True)),
    ],
)
def test_bands_and_ranges_are_read(name: str, text: str, value: object) -> None:
    assert parse(name)(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [("bands", text) for text in ("", "0,1,2", "1,2", "a", "1,2,3,4", "-1")]
    + [("stretch", text) for text in (
        "", "5", "5:5", "9:3", "a:b", "nan:1", "0:inf", "percentile:98,2", "percentile:2:98",
        "percentile:-1,50", "percentile:2,101", "0,2047",
    )],
)  # fmt: skip
def test_what_is_no_band_and_no_range_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse(name)(text)


def parse(name: str) -> Callable[[str], object]:
    from xprobe.base.declared import options

    return next(words.parse for member, words in options(EmbedConfig) if member.name == name)  # type: ignore[return-value]
