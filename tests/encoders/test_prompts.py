"""Classes as text: templates, the ensemble, and zero-shot scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from safetensors.torch import save_file
from scipy.special import log_softmax

from xprobe.base.errors import XprobeError
from xprobe.base.packed import packed_table
from xprobe.design.config import Grid, SweepConfig
from xprobe.distance.run import measure_domain
from xprobe.encoders import load as encoders
from xprobe.encoders import prompts
from xprobe.engine.execution import Execution
from xprobe.features import embed as extract
from xprobe.features.config import EmbedConfig
from xprobe.features.store import Store
from xprobe.images import read as manifest
from xprobe.study.sweep import sweep

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}

ONE_WORKER = Execution(workers=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """Return a tiny CLIP and its long name."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny-text.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-text").eval()
    save_file(model.state_dict(), folder / "w.safetensors")
    return model, f"open_clip:tiny-text/{folder / 'w.safetensors'}"


def test_every_built_in_template_takes_the_class() -> None:
    for name in ("clip", "satellite", "satellite-he", "plain"):
        filled = prompts.read(name).of_class("sea_lake")
        assert filled
        assert all("sea lake" in text and "{}" not in text for text in filled)
    assert prompts.read("satellite-he").of_class("x") == ["a centered satellite photo of x."]


@pytest.mark.parametrize(("name", "flood"), [("disasters-en", "flood"), ("disasters-zh", "洪水")])
def test_disasters_have_words_of_their_own_in_both_languages(name: str, flood: str) -> None:
    disasters = prompts.read(name)
    events = packed_table("events")
    classes = {row[column] for row in events for column in ("class", "study_class")}
    assert len(classes) == 8 and set(disasters.words) == classes
    assert all(flood in text and "{}" not in text for text in disasters.of_class("flooding"))
    assert len(disasters.of_class("wind")) == 3


def test_a_file_of_templates_and_words(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"templates": ["{} from above"], "classes": {"wind": "a storm"}}))
    own_prompts = prompts.read(str(file))
    assert own_prompts.of_class("wind") == ["a storm from above"]
    assert own_prompts.of_class("fire") == ["fire from above"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "not of the form"),
        ("[]", "not of the form"),
        ('{"templates": []}', "every template needs"),
        ('{"templates": ["a photo"]}', "every template needs"),
    ],
)
def test_a_wrong_file_is_one_line(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(XprobeError, match=said):
        prompts.read(str(tmp_path / "bad.json"))
    with pytest.raises(XprobeError, match="did you mean satellite"):
        prompts.read("satelite")


def test_the_ensemble_is_the_unit_mean_of_unit_features() -> None:
    table = {"a b": [3.0, 0.0], "c b": [0.0, 5.0]}

    def embed(texts: Sequence[str]) -> tuple[np.ndarray, float]:
        return np.array([table[t] for t in texts]), 10.0

    text = prompts.embed_classes(embed, {"b": ["a b", "c b"]}, "p")
    np.testing.assert_allclose(text.x, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)
    assert (text.classes, text.logit_scale, text.prompts) == (("b",), 10.0, "p")


def test_open_clip_text_features_and_zero_shot_scores_are_open_clips(tiny: tuple[Any, str]) -> None:
    model, name = tiny
    classes = ("dog", "sea_lake", "forest")
    filled = {label: prompts.read("clip").of_class(label) for label in classes}
    text = prompts.embed_classes(encoders.load(name).embed_text, filled, "clip")
    tokenizer = open_clip.get_tokenizer("tiny-text")
    rows = []
    with torch.inference_mode():
        for label in ("dog", "sea lake", "forest"):
            texts = [t.replace("{}", label) for t in prompts.read("clip").templates]
            x = model.encode_text(tokenizer(texts), normalize=True).mean(dim=0)
            rows.append(x / x.norm())
        images = torch.randn(5, 16)
        unit = images / images.norm(dim=1, keepdim=True)
        logits = model.logit_scale.exp() * unit @ torch.stack(rows).T
    np.testing.assert_allclose(text.x, torch.stack(rows).numpy(), rtol=1e-4, atol=1e-6)
    expected = logits.log_softmax(dim=1).numpy()
    logits = prompts.zero_shot_logits(images.numpy(), text)
    np.testing.assert_allclose(log_softmax(logits, axis=1), expected, atol=1e-4)


def test_transformers_text_features_are_transformers(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {w: i for i, w in enumerate(["<pad>", "<eos>", "a", "photo", "of", "dog", ".", "?"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="?"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>", unk_token="?"
    )
    small = {
        "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 48,
    }  # fmt: skip
    text = {**small, "vocab_size": 9, "max_position_embeddings": 8, "eos_token_id": 1}
    config = transformers.SiglipConfig(
        text_config=text, vision_config={**small, "image_size": 32, "patch_size": 16}
    )
    torch.manual_seed(0)
    model = transformers.SiglipModel(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    seen = {"size": size, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(seen))
    text, scale = encoders.load(f"hf:{tmp_path}").embed_text(["a photo of a dog ."])
    ids = torch.tensor([[2, 3, 4, 2, 5, 6, 0, 0]])
    with torch.inference_mode():
        output = model.get_text_features(input_ids=ids)
    expected = getattr(output, "pooler_output", output)
    np.testing.assert_allclose(text, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert scale == pytest.approx(model.logit_scale.exp().item())


@pytest.mark.parametrize("layer", [None, "pooled"])
def test_an_encoder_without_a_text_side_says_so(layer: str | None, tiny: tuple[Any, str]) -> None:
    encoder = encoders.load("hog") if layer is None else encoders.load(tiny[1], layer=layer)
    with pytest.raises(XprobeError, match="images alone, no texts; leave out --prompts"):
        encoder.embed_text(["a photo"])


def test_a_sweep_shows_zero_shot_on_the_same_test_images(
    tiny: tuple[Any, str], make_data: Callable[..., Path], tmp_path: Path
) -> None:
    table = manifest.read(make_data(real=5, synthetic=5))
    folder = tmp_path / "features"
    extract.embed_all(table, [tiny[1]], folder, EmbedConfig(prompts="plain"), ONE_WORKER)
    store = Store(folder)
    config = SweepConfig(ratios=(1,), repeats=1, c_grid=(1.0,))
    (study,) = sweep(table, store, tmp_path / "results", config, execution=ONE_WORKER)
    row = next(r for r in study.results if r.setting == "zero-shot" and r.metric == "accuracy")
    (encoder,) = store.encoders()
    text = store.read_text(encoder, table.classes)
    assert text is not None
    real = table.select(table.source == "real")
    features, _ = store.read(encoder, real)
    predicted = np.array(table.classes)[prompts.zero_shot_logits(features.x, text).argmax(axis=1)]
    assert row.value == pytest.approx((predicted == real.label).mean())
    assert (row.n_train_real, row.n_train_synthetic, row.n_test) == (0, 0, 10)
    assert row.difference is row.verdict is row.generator is None
    assert study.prompts == "plain"
    assert store.read_text(encoder, ("other", "classes")) is None


def test_captions_name_the_classes_and_images_are_looked_for_by_their_prompts(
    tiny: tuple[Any, str], make_data: Callable[..., Path], tmp_path: Path
) -> None:
    plain = manifest.read(make_data(real=5, synthetic=5))
    prompt = [f"picture {i}" for i in range(len(plain))]
    table = replace(plain, prompt=prompt, split=["train"] * len(plain))
    folder = tmp_path / "features"
    extract.embed_all(table, [tiny[1]], folder, execution=ONE_WORKER)
    store = Store(folder)
    (encoder,) = store.encoders()
    how: dict[str, Any] = {"metrics": ("mmd",), "permutations": 9, "by_class": False, "workers": 1}
    document, _ = measure_domain(table, store, **how)
    (said,) = [text for text in document.warnings if "R@1" in text]
    assert "no R@1, since the store lacks text features of 10 of 10 prompts; run 'xprobe" in said
    with pytest.warns(match="without a fixed hold-out"):
        config = EmbedConfig(prompts="captions")
        extract.embed_all(table, [tiny[1]], folder, config, ONE_WORKER)
    side = encoders.load(tiny[1])
    real = [text for text, source in zip(prompt, table.source, strict=True) if source == "real"]
    expected = [prompts.mean_of(side.embed_text(part)[0]) for part in (real[:5], real[5:])]
    text = store.read_text(encoder, table.classes)
    assert text is not None and text.prompts == "captions"
    np.testing.assert_allclose(text.x, np.stack(expected), atol=1e-5)
    document, _ = measure_domain(table, store, **how)
    assert not [text for text in document.warnings if "R@1" in text]
    (row,) = [row for row in document.distances if row.metric == "r_at_1"]
    assert (row.n, row.n_synthetic, row.floor) == (10, 10, pytest.approx(0.1))
    assert row.value is not None and 0 <= row.value <= 1


def test_heads_that_start_from_text_are_swept_where_there_is_text(
    tiny: tuple[Any, str], make_data: Callable[..., Path], tmp_path: Path
) -> None:
    table = manifest.read(make_data(real=5, synthetic=5))
    store, folder = Store(tmp_path / "features", create=True), tmp_path / "results"
    extract.embed_all(table, [tiny[1]], tmp_path / "features", execution=ONE_WORKER)
    config = SweepConfig(ratios=(1,), repeats=1, c_grid=(1.0,))
    with pytest.raises(XprobeError, match=r"'text' starts from text features.*embed --prompts"):
        sweep(table, store, folder, config, Grid(heads=("text",)), ONE_WORKER)
    extract.embed_all(
        table, [tiny[1]], tmp_path / "features", EmbedConfig(prompts="plain"), ONE_WORKER
    )
    studies = sweep(table, store, folder, config, Grid(heads=("text", "text-soft")), ONE_WORKER)
    assert [study.config.head for study in studies] == ["text", "text-soft"]
    for study in studies:
        assert {row.setting for row in study.results} >= {"real-only", "mix", "zero-shot"}
