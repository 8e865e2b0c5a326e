"""Pipelines of diffusers: tiny ones with random weights, saved and loaded again, offline."""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from makers import Ran, letters, save_pipeline, text_encoder
from PIL import Image

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.generation.base import Answer, Parameter, RefusedError, Request, StoppedError
from xprobe.generation.checkpoints import PRESETS
from xprobe.generation.providers.diffusers import Diffusers
from xprobe.generation.registry import PROVIDERS, Access

STEPS: Mapping[str, Parameter] = {"num_inference_steps": 2}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LEFT = "POLYGON ((0 0, 50 0, 50 100, 0 100, 0 0))"
RIGHT = "POLYGON ((60 0, 100 0, 100 100, 60 100, 60 0))"


def flux_kontext(folder: Path) -> None:
    import diffusers
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4,), latent_channels=4, norm_num_groups=2, use_quant_conv=False,
        use_post_quant_conv=False, shift_factor=0.1, scaling_factor=0.3,
    )  # fmt: skip
    t5 = T5EncoderModel(
        T5Config(vocab_size=190, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    )
    diffusers.FluxKontextPipeline(
        transformer=transformer, vae=vae, text_encoder=text_encoder(), tokenizer=letters(),
        text_encoder_2=t5, tokenizer_2=letters(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)  # fmt: skip


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of pipelines: edit, text, inpaint, kontext."""
    root = tmp_path_factory.mktemp("pipelines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the libraries, of what makes these, and not of ours.
        save_pipeline("StableDiffusionInstructPix2PixPipeline", 8, root / "edit")
        save_pipeline("StableDiffusionPipeline", 4, root / "text")
        save_pipeline("StableDiffusionInpaintPipeline", 9, root / "inpaint")
        flux_kontext(root / "kontext")
    return root


@pytest.fixture
def copied(pipelines: Path, tmp_path: Path) -> Callable[..., Path]:
    """``copied("edit")``: a copy of a pipeline's folder, to be broken."""

    def copy(name: str, folder: Path = tmp_path / "copy") -> Path:
        return Path(shutil.copytree(pipelines / name, folder, dirs_exist_ok=True))

    return copy


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """``hub("owner/name")``: the folder of a repository in a cache of the hub; no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def repository(name: str) -> Path:
        root = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (root / "refs").mkdir(parents=True)
        (root / "refs/main").write_text(COMMIT)
        return root / "snapshots" / COMMIT

    return repository


def opened(
    model: object, parameters: Mapping[str, Parameter] = STEPS, *, allow_code: bool = False
) -> Diffusers:
    access = Access(str(model), Path(), parameters, device="cpu", allow_remote_code=allow_code)
    provider = PROVIDERS["diffusers"].open(access)
    assert isinstance(provider, Diffusers)
    assert provider.hosts == ()
    return provider


def picture(width: int = 100, height: int = 100, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def request(
    seed: int = 1, image: bytes | None = None, polygons: str = "", **parameters: Parameter
) -> Request:
    asked = {**STEPS, **parameters}
    return Request(f"key{seed}", "tiny", "make it flooded", asked, seed, image, polygons)


def pixels(answer: Answer | RefusedError) -> np.ndarray:
    assert isinstance(answer, Answer), answer
    with Image.open(io.BytesIO(answer.content), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def wrap(patch: pytest.MonkeyPatch, pipeline: str, around: Callable[..., Any]) -> None:
    """Have `around` called with the pipeline's call, and with what that is called with."""
    import diffusers

    kind = getattr(diffusers, pipeline)
    call = kind.__call__

    @functools.wraps(call)
    def wrapped(self: object, **arguments: Any) -> Any:
        return around(functools.partial(call, self), **arguments)

    patch.setattr(kind, "__call__", wrapped)


# --- images ---


def test_a_text_becomes_the_same_image_again_from_the_same_seed(
    pipelines: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = opened(pipelines / "text")
    first, again, other = provider.make([request(1), request(1), request(2)])
    assert isinstance(first, Answer)
    assert (first.media_type, first.seed, first.cost) == ("image/png", 1, 0.0)
    assert pixels(first).shape == (64, 64, 3)
    assert np.array_equal(pixels(first), pixels(again))
    assert not np.array_equal(pixels(first), pixels(other))
    anew = opened(pipelines / "text").make([request(1)])[0]
    assert np.array_equal(pixels(first), pixels(anew))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["edit", "text", "inpaint", "kontext"])
def test_a_batch_gives_what_single_requests_give(name: str, pipelines: Path) -> None:
    """Noise, image and mask are each request's own; sums in another order round differently."""
    size: dict[str, Parameter] = {"height": 32, "width": 32}
    if name == "kontext":
        size["_auto_resize"] = False
    requests = [
        request(seed, picture(seed=seed), outline, **size)
        for seed, outline in enumerate([LEFT, RIGHT, LEFT])
    ]
    provider = opened(pipelines / name, size)
    provider.batch = 3
    together = [pixels(answer) for answer in provider.make(requests)]
    alone = [pixels(provider.make([one])[0]) for one in requests]
    for x, y in zip(together, alone, strict=True):
        assert np.abs(x - y).max() <= 1
    assert np.abs(together[0] - together[2]).max() > 1


def test_an_edit_keeps_the_shape_of_its_source_at_the_size_of_the_pipeline(pipelines: Path) -> None:
    provider = opened(pipelines / "edit")
    sources = [picture(*size) for size in [(128, 128), (200, 50), (8, 8)]]
    answers = provider.make([request(i, source) for i, source in enumerate(sources)])
    assert [pixels(answer).shape[:2] for answer in answers] == [(64, 64), (32, 128), (64, 64)]
    asked = provider.make([request(1, sources[0], height=32, width=48)])
    assert pixels(asked[0]).shape[:2] == (32, 48)


def test_a_text_to_image_pipeline_takes_images_by_its_image_to_image(pipelines: Path) -> None:
    provider = opened(pipelines / "text", {"strength": 0.5})
    images = [picture(seed=0), picture(seed=1)]
    one, other = provider.make([request(1, image, strength=0.5) for image in images])
    (stronger,) = provider.make([request(1, images[0], strength=1.0)])
    assert not np.array_equal(pixels(one), pixels(other))
    assert not np.array_equal(pixels(one), pixels(stronger))


def test_inpainting_is_given_the_outlines_as_its_mask(
    pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = []

    def keep(call: Callable[..., Any], **arguments: Any) -> Any:
        masks.append(np.asarray(arguments["mask_image"]))
        return call(**arguments)

    wrap(monkeypatch, "StableDiffusionInpaintPipeline", keep)
    provider = opened(pipelines / "inpaint")
    outside = "POLYGON ((200 200, 300 200, 300 300, 200 200))"
    outlines = [LEFT, "", RIGHT, outside, "POINT (1 1)"]
    answers = provider.make([request(1, picture(), text) for text in outlines])
    assert not np.array_equal(pixels(answers[0]), pixels(answers[2]))
    refusals = [str(answer) for answer in answers if isinstance(answer, RefusedError)]
    assert [words[:36] for words in refusals] == [
        "inpainting paints within the polygon", "inpainting paints within the polygon",
        "polygons 'POINT (1 1)': no well-know",
    ]  # fmt: skip
    left, right = masks
    assert left.shape == (64, 64)
    assert (left[:, :31] == 255).all() and (left[:, 34:] == 0).all()
    assert (right[:, :37] == 0).all() and (right[:, 40:] == 255).all()


def test_a_source_that_is_no_image_fails_alone(pipelines: Path) -> None:
    answers = opened(pipelines / "edit").make([request(1, b"<html>"), request(2, picture())])
    assert isinstance(answers[0], RefusedError)
    assert "not an image" in str(answers[0])
    assert isinstance(answers[1], Answer)


def test_flagged_and_empty_images_are_refused_at_their_places(
    pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flag(call: Callable[..., Any], **arguments: Any) -> Any:
        output = call(**arguments)
        output.nsfw_content_detected = [False, True, False]
        output.images[2] = Image.new("RGB", (8, 8))
        return output

    wrap(monkeypatch, "StableDiffusionPipeline", flag)
    provider = opened(pipelines / "text")
    provider.batch = 3
    fine, flagged, empty = provider.make([request(seed) for seed in range(3)])
    assert isinstance(fine, Answer)
    assert "safety checker" in str(flagged)
    assert "single colour" in str(empty)


def test_a_batch_that_does_not_fit_into_memory_is_halved(
    pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    most = 1

    def lack(call: Callable[..., Any], **arguments: Any) -> Any:
        prompt = arguments["prompt"]
        sizes.append(len(prompt) if isinstance(prompt, list) else 1)
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nMore words")
        return call(**arguments)

    wrap(monkeypatch, "StableDiffusionPipeline", lack)
    provider = opened(pipelines / "text")
    provider.batch = 4
    assert all(isinstance(a, Answer) for a in provider.make([request(seed) for seed in range(4)]))
    assert sizes == [4, 2, 1, 1, 1, 1]
    most = 0
    with pytest.raises(StoppedError, match=r"text: CUDA out of memory. Tried to allocate 9 GiB.$"):
        provider.make([request(1)])


def test_a_prompt_that_is_cut_is_told(pipelines: Path) -> None:
    long = Request("key", "tiny", "flood " * 40, {"num_inference_steps": 1}, 1)
    with pytest.warns(XprobeWarning, match="sees 77 of the 202 tokens of a prompt, which begins"):
        opened(pipelines / "text").make([long])


# --- what is refused ---


def test_requests_that_the_pipeline_cannot_take_stop_before_weights_are_loaded(
    copied: Callable[..., Path],
) -> None:
    folder = copied("edit")
    provider = opened(folder)
    (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(StoppedError, match="edits images, and there is none: use --from pre"):
        provider.make([request(1)])
    with pytest.raises(StoppedError, match="copy: Unable to load weights"):
        provider.make([request(1, picture())])


def test_what_is_not_in_the_call_s_signature_is_known_of_some_pipelines(
    tmp_path: Path, pipelines: Path
) -> None:
    index = tmp_path / "model_index.json"
    index.write_text('{"_class_name": "QwenImageEditPipeline"}')
    assert opened(tmp_path).provenance["negative_prompt"] == " "  # Else it has no guidance.
    index.write_text('{"_class_name": "PixArtSigmaPipeline"}')
    provider = opened(tmp_path)
    assert "negative_prompt" not in provider.provenance
    with pytest.raises(StoppedError, match="takes texts alone: use --from text"):
        provider.make([request(1, picture())])
    kontext = opened(pipelines / "kontext")
    assert "negative_prompt" not in kontext.provenance
    (answer,) = kontext.make([request(1, height=32, width=32, max_area=1024)])
    assert pixels(answer).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"guidance": 2.0}, "no parameter 'guidance' \\(did you mean guidance_scale"),
        ({"generator": 2.0}, "no parameter 'generator'"),
        ({"num_images_per_prompt": 2}, "no parameter 'num_images_per_prompt'"),
        ({"cross_attention_kwargs": 2}, "no parameter 'cross_attention_kwargs'"),
        ({"num_inference_steps": 2.5}, "num_inference_steps=2.5: it takes int"),
        ({"num_inference_steps": "many"}, "num_inference_steps='many': it takes int"),
        ({"guidance_scale": True}, "guidance_scale=True: it takes float"),
        ({"height": 64}, "given together"),
        ({"height": -8, "width": 8}, "pixels"),
    ],
)
def test_wrong_parameters_are_refused(
    parameters: dict[str, Parameter], words: str, pipelines: Path
) -> None:
    with pytest.raises(XprobeError, match=words):
        opened(pipelines / "edit", parameters)


def changed_index(folder: Path, **fields: object) -> Path:
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def test_code_runs_only_where_it_is_allowed(
    copied: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "modules"
    for module in ("constants", "dynamic_modules_utils"):
        monkeypatch.setattr(f"diffusers.utils.{module}.HF_MODULES_CACHE", str(cache))
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    folder = changed_index(copied("text"), _class_name=["mine", "Mine"])
    (folder / "mine.py").write_text(
        "from diffusers import StableDiffusionPipeline\n"
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "class Mine(StableDiffusionPipeline):\n    pass\n"
    )
    with pytest.raises(XprobeError, match=r"mine\.py.*--allow-remote-code"):
        opened(folder)
    assert not (tmp_path / "ran").exists()
    provider = opened(folder, allow_code=True)
    assert provider.provenance["pipeline"] == "Mine"
    assert isinstance(provider.make([request(1)])[0], Answer)

    changed_index(copied("text"), unet=["mine", "Net"])
    (folder / "unet/mine.py").touch()
    config = folder / "text_encoder/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {}}))
    with pytest.raises(XprobeError, match=r"auto_map of text_encoder/config.json, unet/mine.py"):
        opened(folder)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: shutil.rmtree(folder / "vae"), "missing: vae/$"),
        (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(),
         "missing: unet/model.safetensors$"),
        (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").rename(
            folder / "unet/diffusion_pytorch_model.bin"), "bin is a pickle, which may run code"),
        (lambda folder: (folder / "model_index.json").unlink(), "no model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("[]"), "no JSON object"),
        (lambda folder: changed_index(folder, _class_name=None), "names no pipeline"),
        (lambda folder: changed_index(folder, _class_name="FluxNine"), "FluxNine, which diffusers"),
        (lambda folder: changed_index(folder, _class_name="DDPMPipeline"), "no images from a text"),
        (lambda folder: (folder / "unet/model.safetensors.index.json").write_text(
            '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'),
         "missing: unet/model-00001-of-00002.safetensors"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_whole_pipeline_is_refused(
    break_it: Callable[[Path], object], words: str, copied: Callable[..., Path]
) -> None:
    folder = copied("text")
    break_it(folder)
    with pytest.raises(XprobeError, match=words):
        opened(folder)


# --- the hub and presets ---


def test_the_hub_s_cache_is_used_and_its_commit_recorded(
    hub: Callable[[str], Path], copied: Callable[..., Path]
) -> None:
    folder = copied("text", hub("owner/tiny"))
    provider = opened("owner/tiny")
    assert provider.provenance["revision"] == COMMIT
    assert isinstance(provider.make([request(1)])[0], Answer)
    assert opened(f"owner/tiny@{COMMIT}").provenance["revision"] == COMMIT

    shutil.rmtree(folder / "vae")
    with pytest.raises(XprobeError, match="not all of it; run 'hf download owner/tiny' on"):
        opened("owner/tiny")
    with pytest.raises(XprobeError, match='--revision v1 --include "unet/small/\\*"'):
        opened("owner/none/unet/small@v1")
    with pytest.raises(XprobeError, match=r"owner/none is not on this machine.*offline, as asked"):
        opened("owner/none")
    with pytest.raises(XprobeError, match="no preset \\(did you mean rsedit"):
        opened("rsedi")


def test_a_preset_is_a_name_with_its_authors_parameters(
    hub: Callable[[str], Path], copied: Callable[..., Path]
) -> None:
    repository, _, part = PRESETS["rsedit"].name.rpartition("/")
    copied("edit", hub(repository) / part)
    provider = opened("rsedit", {})
    assert [model.name for model in provider.models()] == ["rsedit"]
    assert provider.provenance["num_inference_steps"] == 50
    assert provider.provenance["dtype"] == "float32"
    assert isinstance(provider.make([request(1, picture())])[0], Answer)


def test_the_revision_of_a_folder_tells_weights_apart(copied: Callable[..., Path]) -> None:
    folder = copied("text")
    before, again = (opened(folder).provenance["revision"] for _ in range(2))
    changed_index(folder, _comment="x")
    assert before == again != opened(folder).provenance["revision"]
    assert str(before).startswith("sha256:")


# --- the whole way ---

COMMANDS = """
generate study.csv --provider diffusers --model MODEL --prompts prompts.txt --per-image 2
  --param num_inference_steps=2 --device cpu -o edits
embed study.csv edits/manifest.csv --encoder hog --workers 1
sweep study.csv edits/manifest.csv --ratios 1 --folds 2 --repeats 1 --c-grid 1 --workers 1
report
"""


def test_from_images_before_the_event_to_a_report_offline(
    pipelines: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    xprobe: Callable[..., Ran],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rows = ["path,label,source,split,group,event"]
    for i in range(8):
        label, scene = ("flooding", "wind")[i % 2], f"scene{i}"
        for split, seed in ("pre", i), ("train", 100 + i):
            (tmp_path / f"{scene}-{split}.png").write_bytes(picture(40 + 20 * (i % 2), 40, seed))
            rows.append(f"{scene}-{split}.png,{label},real,{split},{scene},event{i % 4}")
    (tmp_path / "study.csv").write_text("\n".join(rows))
    (tmp_path / "prompts.txt").write_text("make it suffer from {class}\n{class}, seen from above\n")
    for command in COMMANDS.replace("\n ", "").strip().splitlines():
        ran = xprobe(*command.replace("MODEL", str(pipelines / "edit")).split())
        assert ran.code == 0, ran.err
    with (tmp_path / "edits/manifest.csv").open() as file:
        edits = list(csv.DictReader(file))
    assert len(edits) == 16
    assert Counter(Path(edit["parent"]).stem.partition("-")[2] for edit in edits) == {"pre": 16}
    assert len({edit["seed"] for edit in edits}) == 16
    recorded = json.loads(edits[0]["parameters"])
    assert recorded["num_inference_steps"] == 2
    assert recorded["pipeline"] == "StableDiffusionInstructPix2PixPipeline"
    assert str(recorded["revision"]).startswith("sha256:")
    page = (tmp_path / "report/index.html").read_text()
    assert "hog" in page and "edit" in page
