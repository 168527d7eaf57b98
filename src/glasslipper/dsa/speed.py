"""How long things take on this machine, densely and sparsely: one layer's attention, a whole model.

In `measure` keys and values are random: time does not depend on what they say. Dense attention is
two matrix products over all tokens; sparse attention scores, chooses and attends over the paged
cache, as serving does. Times are the least of several, so that what others do on the machine
counts little. In `whole` the engine itself reads a prompt and answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from glasslipper.dsa import codes, decode, warmup
from glasslipper.dsa.adapter import Adapter, LayerPlan
from glasslipper.dsa.cache import Layout, Store
from glasslipper.dsa.engine import SparseEngine
from glasslipper.dsa.errors import ContextExceeded
from glasslipper.dsa.host import Host
from glasslipper.dsa.indexer import IndexQuery
from glasslipper.dsa.models import Opened
from glasslipper.dsa.pages import PAGE

LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
_REPEATS = 9
_CHUNK = 4096


def measure(
    adapter: Adapter,
    *,
    k: int,
    lengths: Sequence[int] = LENGTHS,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return milliseconds by length, for a layer of the adapter's model and a budget of k."""
    place = torch.device(device)
    found: dict[str, Any] = {"k": k, "threads": torch.get_num_threads(), "ms": {}}
    for number, length in enumerate(lengths):
        found["ms"][str(length)] = _at(adapter, k, length, place)
        on_progress(number + 1, len(lengths))
    return found


def untaught(opened: Opened, host: Host, *, k: int) -> Adapter:
    """Return an adapter that takes as long as a fitted one of `k` tokens a layer, and is of no use.

    For asking what a fit would bring before it is made.
    """
    index = warmup.index_shape(host.shape)
    layers = range(host.shape.layers)
    device = host.device
    return Adapter(
        model=host.shape,
        index=index,
        fingerprint=opened.fingerprint,
        context_tokens=opened.context_tokens,
        plan=tuple(LayerPlan("full", k, layer) for layer in layers),
        indexers={
            layer: warmup.new_indexer(host.shape, index)
            .to(device)
            .requires_grad_(requires_grad=False)
            for layer in layers
        },
    )


def whole(
    opened: Opened,
    host: Host,
    adapter: Adapter,
    *,
    lengths: Sequence[int],
    tokens: int,
    budget: int | None = None,
    block: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return by prompt length and way the tokens a second that the model reads and says.

    The prompt says nothing; the answer has `tokens` tokens, whatever they are, and attention
    stays as sparse as the plan has it however much it misses.

    Raises:
        ContextExceeded: A length and its answer are more than the model was trained for.
    """
    room = max(lengths) + tokens
    if room > opened.context_tokens:
        raise ContextExceeded(
            f"The model was trained for {opened.context_tokens} tokens, not for {room}.",
            hint=f"Give lengths of {opened.context_tokens - tokens} or less.",
        )
    found: dict[str, dict[str, dict[str, float]]] = {str(length): {} for length in lengths}
    done = 0
    for way in ("dense", "sparse"):
        engine = SparseEngine(
            opened,
            host,
            adapter,
            context_tokens=room,
            budget=budget,
            is_sparse=way == "sparse",
            threshold=1.0,
            block=block,
        )
        for length in lengths:
            found[str(length)][way] = _answered(engine, length, tokens)
            done += 1
            on_progress(done, 2 * len(lengths))
    return found


def _answered(engine: SparseEngine, length: int, tokens: int) -> dict[str, float]:
    prompt = [{"role": "user", "content": ""}]
    spare = length - engine.count(prompt)
    prompt[0]["content"] = " the" * max(1, spare)
    sampling = {"temperature": 0, "max_tokens": tokens, "reuse_prompt": False, "ignore_end": True}
    answer = engine.generate(prompt, sampling)
    for _ in answer:
        pass
    told = answer.told
    return {
        "prompt_tokens": told.prompt_tokens,
        "read_per_s": round(told.prompt_tokens / told.prompt_s, 2),
        "said_per_s": round(told.output_tokens / told.output_s, 2),
    }


@torch.inference_mode()
def _at(adapter: Adapter, k: int, length: int, device: torch.device) -> dict[str, float]:
    model, index = adapter.model, adapter.index
    draw = torch.Generator("cpu").manual_seed(length)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw, device=draw.device).to(device)

    layout = Layout(key_heads=model.groups, head_dim=model.width, index_dim=index.width)
    pages = -(-length // PAGE)
    store = Store(layout, layers=1, pages=pages, device=device)
    table = torch.arange(pages, dtype=torch.int32, device=device)
    for start in range(0, length, _CHUNK):
        count = min(_CHUNK, length - start)
        k_SGD, v_SGD = (drawn(count, model.groups, model.width) for _ in range(2))
        store.write(0, table, start, k_SGD, v_SGD, codes.encode_keys(drawn(count, index.width)))
    q = drawn(model.heads, model.width).bfloat16()
    sought = IndexQuery(drawn(1, index.heads, index.width), drawn(1, index.heads))
    rows = store.kv[0].flatten(0, 1)[:length]
    k_GSD, v_GSD = (rows[:, i].transpose(0, 1).contiguous() for i in range(2))
    q_GRD = q.view(model.groups, -1, model.width)
    scale = model.width**-0.5

    def dense() -> object:
        return ((q_GRD @ k_GSD.transpose(1, 2)).float() * scale).softmax(-1).bfloat16() @ v_GSD

    def sparse() -> object:
        return decode.step(store, 0, table, length, sought, q, k=k)

    return {"dense": _least_ms(dense, device), "sparse": _least_ms(sparse, device)}


def _least_ms(work: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    wait()
    times: list[float] = []
    for _ in range(_REPEATS):
        began_s = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - began_s)
    return min(times) * 1e3
