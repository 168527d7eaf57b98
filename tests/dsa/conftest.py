"""A tiny model of random weights, where only laws are at stake; torch is needed for these."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is first imported

WITHOUT_TORCH = ["test_dsa_meter.py", "test_native.py", "test_pages.py", "test_reference.py"]
"""What runs with numpy alone."""

collect_ignore: list[str] = []


def _has_torch() -> bool:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError:
        return False
    torch.set_num_threads(1)  # two that wait for each other are slower where others work too
    return True


if not _has_torch():
    if os.environ.get("GLASSLIPPER_REQUIRE_DSA"):
        raise RuntimeError("torch and transformers are missing: run `make test-dsa`")
    here = Path(__file__).parent
    collect_ignore += [
        path.name for path in here.glob("test_*.py") if path.name not in WITHOUT_TORCH
    ]


def tiny_config(**more: Any) -> Any:
    """Return the shape of a Llama of four small layers."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        **more,
    )


@pytest.fixture(scope="session")
def tokenizer(smol_path: Path) -> Any:
    """The real tokenizer of `local/smol`."""
    from glasslipper.dsa import models
    from glasslipper.dsa.gguf import GgufFile

    return models.gguf_tokenizer(GgufFile(smol_path))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A folder in Hugging Face's form with a tiny Llama in it."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("tiny")
    model = LlamaForCausalLM(tiny_config())
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(12)
            layer.self_attn.k_proj.weight.mul_(12)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder: Path) -> Any:
    """The tiny model, opened and taken hold of."""
    from glasslipper.dsa.host import Host
    from glasslipper.dsa.models import open_model

    opened = open_model(tiny_folder, dtype="float32")
    return opened, Host(opened.model)
