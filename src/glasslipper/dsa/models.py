"""Opens models: a folder in Hugging Face's form, or a GGUF file of a Llama.

Knows how the names and the row order of llama.cpp map to those of transformers, and how to build
the tokenizer that a GGUF file describes. Reads local files only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import transformers
from torch import Tensor, nn

from glasslipper.dsa.errors import ModelUnfit
from glasslipper.dsa.gguf import GgufFile

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


class Opened(NamedTuple):
    """A model ready to run, its tokenizer, its trained context, and what tells it from others."""

    model: nn.Module
    tokenizer: Any  # transformers types its tokenizers loosely
    context_tokens: int
    fingerprint: str


def open_model(
    path: Path, *, dtype: str = "bfloat16", threads: int | None = None, device: str = "cpu"
) -> Opened:
    """Open the model at `path`, for inference in `dtype` on a device, with that many threads.

    Raises:
        ModelUnfit: It cannot be read, is no causal language model, or cannot run on that device.
    """
    place = _device(device)
    if threads:
        torch.set_num_threads(threads)
    kind = cast("torch.dtype", getattr(torch, dtype))
    if path.is_dir():
        opened = _open_folder(path, kind)
        return opened._replace(model=opened.model.to(place))
    file = GgufFile(path)
    if file.metadata.get("general.architecture") != "llama":
        raise ModelUnfit(
            f"{path.name} is a {file.metadata.get('general.architecture')}, not a Llama.",
            hint="GGUF works for Llama-shaped models; give other models as their original folder.",
        )
    try:
        opened = _open_gguf(file, kind)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelUnfit(f"{path.name} lacks something a Llama has: {error}.") from error
    return opened._replace(model=opened.model.to(place))


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ModelUnfit(
            f"{name} cannot be computed on here: {str(error).splitlines()[0]}",
            hint="Take cpu, or install a build of torch for your GPU.",
        ) from error


def be_quiet() -> None:
    """Let transformers say only what went wrong."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _open_folder(path: Path, dtype: torch.dtype) -> Opened:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelUnfit(
            f"{path} cannot be opened as a language model: {str(error).splitlines()[0]}",
            hint="Give a folder with config.json, *.safetensors and a tokenizer.",
        ) from error
    context = int(getattr(model.config, "max_position_embeddings", 0)) or 2048
    return Opened(model.eval(), tokenizer, context, fingerprint(model))


def fingerprint(model: nn.Module) -> str:
    """Return what tells a model from others: a hash over names, shapes and a sample of weights."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        flat = weight.detach().flatten()
        sample = flat[:: max(1, len(flat) // 16)][:16].to(torch.bfloat16)
        digest.update(f"{name} {tuple(weight.shape)} ".encode())
        digest.update(sample.contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _open_gguf(file: GgufFile, dtype: torch.dtype) -> Opened:
    from transformers import LlamaConfig, LlamaForCausalLM

    def of(key: str) -> Any:  # metadata values are what their keys say, or fail in what follows
        return file.metadata[f"llama.{key}"]

    heads, groups = int(of("attention.head_count")), int(of("attention.head_count_kv"))
    config = LlamaConfig(
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        hidden_size=of("embedding_length"),
        intermediate_size=of("feed_forward_length"),
        num_hidden_layers=of("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=of("context_length"),
        rms_norm_eps=of("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": float(of("rope.freq_base"))},
        tie_word_embeddings="output.weight" not in file.tensors,
        bos_token_id=cast(int, file.metadata.get("tokenizer.ggml.bos_token_id")),
        eos_token_id=cast(int, file.metadata.get("tokenizer.ggml.eos_token_id")),
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    weights = {
        _name(name): _weight(file, name, heads=heads, groups=groups).to(dtype)
        for name in file.tensors
        if name != "rope_freqs.weight"
    }
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    return Opened(model.eval(), gguf_tokenizer(file), int(of("context_length")), fingerprint(model))


def _name(name: str) -> str:
    """Return what transformers calls the tensor."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("blk."):
        _, layer, inner = stem.split(".")
        return f"model.layers.{layer}.{_LAYER_NAMES[inner]}.{kind}"
    return f"{_WHOLE_NAMES[stem]}.{kind}"


def _weight(file: GgufFile, name: str, *, heads: int, groups: int) -> Tensor:
    """Return a tensor with its rows as transformers orders them.

    llama.cpp keeps rotated pairs next to each other, transformers half a head apart.
    """
    weight = torch.from_numpy(file.array(name))
    owners = {"attn_q": heads, "attn_k": groups}.get(name.split(".")[-2])
    if owners is None:
        return weight
    halves = weight.shape[0] // owners // 2
    return weight.view(owners, halves, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def gguf_tokenizer(file: GgufFile) -> Any:
    """Return the tokenizer that a GGUF file describes.

    Raises:
        ModelUnfit: It is of a kind that we do not know.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    data = file.metadata
    kind = (data.get("tokenizer.ggml.model"), data.get("tokenizer.ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise ModelUnfit(
            f"{file.path.name} has a tokenizer of the kind {kind}, which is not supported.",
            hint="Give the model's original folder, which has its tokenizer in full.",
        )
    tokens = cast("list[str]", data["tokenizer.ggml.tokens"])
    merges = [tuple(m.split(" ")) for m in cast("list[str]", data["tokenizer.ggml.merges"])]
    model = models.BPE({token: i for i, token in enumerate(tokens)}, merges)  # type: ignore[arg-type]
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = cast("list[int]", data["tokenizer.ggml.token_type"])
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True)
            for token, sort in zip(tokens, types, strict=True)
            if sort == 3
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=data.get("tokenizer.chat_template"),
        eos_token=tokens[cast(int, data["tokenizer.ggml.eos_token_id"])],
        clean_up_tokenization_spaces=False,
    )
