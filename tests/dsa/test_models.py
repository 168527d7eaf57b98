"""Models as they are opened, and those that are refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glasslipper.dsa import looks, quality, texts
from glasslipper.dsa.errors import ModelUnfit
from glasslipper.dsa.gguf import GgufFile
from glasslipper.dsa.host import Host
from glasslipper.dsa.models import open_model

PROSE = (
    "The history of the city begins with a small settlement on the river. In the following "
    "centuries it grew into an important centre of trade, and its merchants became rich."
)


@pytest.fixture(scope="module")
def smol(smol_path: Path) -> tuple[Any, Host]:
    opened = open_model(smol_path)
    return opened, Host(opened.model)


def test_the_real_model_finds_english_likely(smol: tuple[Any, Host]) -> None:
    opened, host = smol
    tokens = torch.tensor(opened.tokenizer(PROSE)["input_ids"])
    found = quality.likelihoods(host, [tokens], {"dense": looks.dense}, bucket=8)
    assert found["dense"].mean() < 3.2
    assert opened.context_tokens == 8192
    assert host.shape == (type(host.shape))(30, 9, 3, 64, 100000.0)


def test_a_window_as_wide_as_the_text_is_dense_and_a_narrow_one_is_not(
    smol: tuple[Any, Host],
) -> None:
    opened, host = smol
    tokens = texts.sequences(opened.tokenizer, [PROSE * 6], length=150, most=1)
    ways = {
        "dense": looks.dense,
        "wide": looks.Selecting(looks.window, dict.fromkeys(range(30), 150)),
        "narrow": looks.Selecting(looks.window, dict.fromkeys(range(30), 8)),
        "best": looks.Selecting(looks.oracle, dict.fromkeys(range(30), 8)),
    }
    found = quality.likelihoods(host, tokens, ways, bucket=50)
    assert quality.ratio(found["wide"], found["dense"]) == pytest.approx(1, abs=0.01)
    assert quality.ratio(found["narrow"], found["dense"]) > 1.2
    narrow, best = (quality.ratio(found[way], found["dense"]) for way in ("narrow", "best"))
    assert best < narrow


def test_the_tokenizer_of_a_file_writes_its_text_back(tokenizer: Any) -> None:
    text = "Prices rose by 12.5 % in 2024, naïve café ☕\n\tdef f(x): return x**2"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert len(tokenizer("2024")["input_ids"]) == 4


def test_what_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.gguf"
    nothing.write_bytes(b"")
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60))
    other = tmp_path / "other.gguf"
    key = b"general.architecture"
    head = struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, len(key)) + key
    other.write_bytes(head + struct.pack("<IQ", 8, 5) + b"mamba")
    for path, words in (
        (nothing, "cannot be read"),
        (garbage, "not a sound GGUF file"),
        (other, "mamba, not a Llama"),
        (tmp_path, "cannot be opened as a language model"),
    ):
        with pytest.raises(ModelUnfit, match=words):
            open_model(path)


def test_a_model_cut_short_is_refused(smol_path: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    with smol_path.open("rb") as whole:
        short.write_bytes(whole.read(4 << 20))
    with pytest.raises(ModelUnfit, match="cut short"):
        open_model(short)


def test_a_model_without_the_needed_layers_is_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=99))
    with pytest.raises(ModelUnfit, match="Of the 2 layers of this gpt2 model, 0 have"):
        Host(model)


def test_padded_and_batched_input_is_refused(tiny: Any) -> None:
    _, host = tiny
    tokens = torch.randint(0, 99, (2, 20))
    with host.looking(looks.dense), pytest.raises(ModelUnfit, match="one sequence at a time"):
        host.model.base_model(tokens)
    mask = torch.ones(1, 20, dtype=torch.long)
    mask[0, :3] = 0
    with host.looking(looks.dense), pytest.raises(ModelUnfit, match="without padding"):
        host.model.base_model(tokens[:1], attention_mask=mask)


@pytest.mark.parametrize("kind", [0, 1, 30, 8, 2, 3])
def test_blocks_unpack_to_what_was_packed(kind: int, tmp_path: Path) -> None:
    x = np.random.default_rng(kind).normal(size=(2, 64)).astype(np.float32)
    raw, exact = _pack(x, kind)
    name = b"t"
    head = struct.pack("<4sIQQQ", b"GGUF", 3, 1, 0, 1) + name
    head += struct.pack("<IQQIQ", 2, 64, 2, kind, 0)
    path = tmp_path / "one.gguf"
    path.write_bytes(head + b"\0" * (-len(head) % 32) + raw)
    assert GgufFile(path).array("t") == pytest.approx(x, abs=exact)


def _pack(x: np.ndarray, kind: int) -> tuple[bytes, float]:
    """Pack as the format's description says, block by block."""
    if kind == 0:
        return x.tobytes(), 0
    if kind == 1:
        return x.astype("<f2").tobytes(), 2e-3
    if kind == 30:
        return (x.view(np.uint32) >> 16).astype("<u2").tobytes(), 3e-2
    out = b""
    for block in x.reshape(-1, 32):
        if kind == 8:
            d = np.abs(block).max() / 127
            out += np.float16(d).tobytes() + np.round(block / d).astype(np.int8).tobytes()
            continue
        low = block.min() if kind == 3 else -np.abs(block).max()
        high = block.max() if kind == 3 else np.abs(block).max()
        d = (high - low) / (15 if kind == 3 else 16)
        shift = low if kind == 3 else -8 * d
        q = np.clip(np.round((block - shift) / d), 0, 15).astype(np.uint8)
        out += np.float16(d).tobytes() + (np.float16(low).tobytes() if kind == 3 else b"")
        out += (q[:16] | (q[16:] << 4)).tobytes()
    return out, {8: 0.02, 2: 0.45, 3: 0.25}[kind]
