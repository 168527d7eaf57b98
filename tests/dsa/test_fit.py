"""A retrofit of a tiny model from end to end: learned, chosen, saved, judged, stopped, resumed."""

from __future__ import annotations

import itertools
import pydoc_data.topics
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from glasslipper.dsa import adapter as adapters
from glasslipper.dsa import choose, evaluate, fit, looks, page, quality, teacher, texts, warmup
from glasslipper.dsa.adapter import LayerPlan
from glasslipper.dsa.errors import (
    AdapterUnfit,
    BudgetUnfit,
    ContextExceeded,
    NotANumber,
    TextTooShort,
)
from glasslipper.dsa.fit import Effort, Fitted
from glasslipper.dsa.host import Host
from glasslipper.dsa.models import open_model
from glasslipper.dsa.warmup import Recall

WORDS = ["\n".join(pydoc_data.topics.topics.values())]
EFFORT = Effort(sequences=5, rows=24, steps=40, calibration=2)


@pytest.fixture(scope="module")
def fitted(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Fitted]:
    opened = open_model(tiny_folder, dtype="float32")
    host = Host(opened.model)
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        # Random layers attend to what cannot be learned in a few steps: do not leave them dense.
        patch.setattr(choose, "LEAST_OF_ORACLE", 0.1)
        return opened, host, fit.fit(opened, host, WORDS, work, effort=EFFORT, k=64, length=256)


def test_taught_indexers_beat_a_window(fitted: tuple[Any, Any, Fitted]) -> None:
    _, _, found = fitted
    for layer, recalls in found.measured.items():
        at = recalls[0]
        assert at.k == 64
        assert at.indexer > at.window, layer
        assert at.indexer <= at.oracle + 1e-6
    assert {layer.kind for layer in found.adapter.plan} <= {"full", "dense"}


def test_a_fit_that_was_stopped_goes_on_and_finds_the_same(
    tiny: Any, fitted: tuple[Any, Any, Fitted], tmp_path: Path
) -> None:
    opened, host = tiny

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "indexers" and done == 2:
            raise Stopped

    def again(**more: Any) -> Fitted:
        return fit.fit(opened, host, WORDS, tmp_path, effort=EFFORT, k=64, length=256, **more)

    with pytest.raises(Stopped):
        again(on_progress=stop)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    resumed = again()
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(before) > 20
    assert before.items() <= after.items()
    assert resumed.measured == fitted[2].measured


def test_an_adapter_is_read_as_it_was_saved(
    fitted: tuple[Any, Any, Fitted], tmp_path: Path
) -> None:
    opened, _, found = fitted
    path = adapters.save(found.adapter, tmp_path)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    read = adapters.load(tmp_path, fingerprint=opened.fingerprint)
    assert read.plan == found.adapter.plan
    assert read.index == found.adapter.index
    for layer, indexer in read.indexers.items():
        known = found.adapter.indexers[layer].state_dict()
        for name, weight in indexer.state_dict().items():
            assert torch.equal(weight, known[name].half().float())
    with pytest.raises(AdapterUnfit, match="another model"):
        adapters.load(tmp_path, fingerprint="0" * 32)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(AdapterUnfit, match="no sound adapter"):
        adapters.load(tmp_path)
    with pytest.raises(AdapterUnfit, match="no adapter"):
        adapters.load(tmp_path / "nowhere")


def test_the_report_has_every_part_and_its_page_needs_no_scripts(
    fitted: tuple[Any, Any, Fitted],
) -> None:
    opened, host, found = fitted
    cut = texts.sequences(opened.tokenizer, WORDS, length=256, most=1)
    report = evaluate.evaluate(
        host,
        found.adapter,
        {"help <b>": cut},
        budgets=(64, 400),
        needle_lengths=(384,),
        haystacks=1,
        tokenizer=opened.tokenizer,
    )
    ratios = report["perplexity"]["help <b>"]["later_half"]
    assert ratios["dense"] == 1
    assert ratios["sparse 400"] == pytest.approx(1, abs=1e-4)
    assert ratios["oracle 400"] == pytest.approx(1, abs=1e-4)
    assert 0 < evaluate.recall_of_oracle(report["recall"]["help <b>"], 64) <= 1
    shown = page.render(report)
    assert "<script" not in shown
    assert "help &lt;b&gt;" in shown
    assert shown.count("<figure") == 4


def test_needles_lie_where_they_are_said_to(tokenizer: Any) -> None:
    hay = texts.sequences(tokenizer, WORDS, length=1024, most=2)
    for stack in quality.haystacks(tokenizer, hay, length=1000, count=3):
        assert len(stack.tokens_S) == 1000
        text = tokenizer.decode(stack.tokens_S)
        assert [depth for depth, _ in stack.answers] == [5, 25, 50, 75, 95]
        for _, at in stack.answers:
            code = tokenizer.decode(stack.tokens_S[at])
            assert code.isdigit()
            assert len(code) == quality.DIGITS
            assert text.count(code) == 3


@pytest.mark.parametrize("behind", ["isolated", "merged_with_next"])
def test_needles_are_asked_for_in_full_where_digits_are_grouped(behind: Any) -> None:
    """As Llama 3 has them: three digits a token, with the space before or in the first one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.pre_tokenizers import Sequence, Split
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    digits = [f"{n}{m}" for n in range(10) for m in range(10)]
    grouped = [f"{two}{n}" for two in digits for n in range(10)]
    merges = [(two[0], two[1]) for two in digits] + [(g[:2], g[2]) for g in grouped]
    known = [*alphabet, *digits, *grouped]
    made = Tokenizer(models.BPE({token: n for n, token in enumerate(known)}, merges))
    made.pre_tokenizer = Sequence(
        [Split(" ", behind), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    assert len(tokenizer("12345")["input_ids"]) < quality.DIGITS
    hay = texts.sequences(tokenizer, WORDS, length=2000, most=1)
    (stack,) = quality.haystacks(tokenizer, hay, length=1900, count=1)
    text = tokenizer.decode(stack.tokens_S)
    for _, at in stack.answers:
        code = tokenizer.decode(stack.tokens_S[at]).strip()
        assert code.isdigit()
        assert len(code) == quality.DIGITS
        assert text.count(code) == 3


def test_budgets_go_where_they_gain_most_and_keep_to_their_mean() -> None:
    flat = [Recall(k, 1.0, 0.99, 0.5) for k in warmup.BUDGETS]
    steep = [Recall(k, 1.0, k / 1024, 0.0) for k in warmup.BUDGETS]
    given = choose.budgets({0: flat, 1: steep}, mean=256)
    assert given == {0: 64, 1: 448}


def test_long_sequences_are_judged_at_large_budgets_too() -> None:
    assert warmup.budgets_for(2048) == warmup.budgets_for(128) == warmup.BUDGETS
    for length in (2200, 6000, 16384, 131072):
        known = warmup.budgets_for(length)
        assert known[-1] == length // 2
        assert all(1 < high / low <= 2 for low, high in itertools.pairwise(known))
    steep = [Recall(k, 1.0, k / 8192, 0.0) for k in warmup.budgets_for(16384)]
    assert sum(choose.budgets({0: steep, 1: steep}, mean=2048).values()) == 2 * 2048


def test_layers_that_share_have_one_budget_and_the_mean_holds() -> None:
    flat = [Recall(k, 1.0, 0.99, 0.5) for k in warmup.BUDGETS]
    steep = [Recall(k, 1.0, k / 1024, 0.0) for k in warmup.BUDGETS]
    given = choose.budgets({0: flat, 1: flat, 2: steep, 3: steep}, mean=256, sources={1: 0, 3: 2})
    assert given == {0: 64, 1: 64, 2: 448, 3: 448}
    mixed = choose.budgets({0: flat, 1: steep, 2: steep}, mean=128, sources={1: 0})
    assert mixed[0] == mixed[1]
    assert sum(mixed.values()) <= 3 * 128


def test_what_a_sharing_layer_keeps_is_judged_by_its_own_attention() -> None:
    shape = warmup.Shape(layers=2, heads=2, groups=1, width=32, rope_base=1e4)
    torch.manual_seed(0)
    indexer = warmup.new_indexer(shape, warmup.index_shape(shape))
    at = torch.arange(120, 128)
    raw = teacher.Rows(at, torch.randn(8, 64), torch.randn(128, 32), torch.rand(8, 128))
    with torch.no_grad():
        scores = warmup.row_scores(indexer, raw)
    hidden = ~warmup.row_visible(raw)

    def attending(to: torch.Tensor) -> list[teacher.Rows]:
        weights = torch.softmax(to.masked_fill(hidden, -torch.inf), -1)
        return [raw._replace(teacher_TS=weights)]

    written = {0: attending(scores * 50), 1: attending(scores * -50)}
    known = {n: [Recall(64, 1.0, 0.9, 0.5)] for n in range(2)}
    found = choose.by_source(known, {0: indexer, 1: indexer}, written, {1: 0})
    assert found[0] == known[0]
    assert found[1][0].indexer < 0.5 < found[1][0].oracle


def test_a_layer_that_does_not_beat_a_window_stays_dense() -> None:
    def measured(indexer: float) -> list[Recall]:
        return [Recall(256, 0.95, indexer, 0.8)]

    found = choose.dense_layers({0: measured(0.93), 1: measured(0.79), 2: measured(0.805)}, 256)
    assert list(found) == [1, 2]
    assert "window" in found[1]
    assert "oracle" in found[2]


def test_layers_that_choose_alike_share_and_others_do_not() -> None:
    shape = warmup.Shape(layers=3, heads=2, groups=1, width=32, rope_base=1e4)
    torch.manual_seed(0)
    index = warmup.index_shape(shape)
    one, other = (warmup.new_indexer(shape, index) for _ in range(2))
    raw_q, raw_k = torch.randn(8, 64), torch.randn(128, 32)
    at = torch.arange(120, 128)
    rows = [teacher.Rows(at, raw_q, raw_k, torch.rand(8, 128))]
    with torch.no_grad():
        best = warmup.row_scores(one, rows[0])
    peaked = [rows[0]._replace(teacher_TS=torch.softmax(best * 50, -1))]
    written = {0: peaked, 1: peaked, 2: peaked}
    found = choose.sharing({0: one, 1: one, 2: other}, written, k=16, tolerance=0.01)
    assert found.get(1) == 0
    assert choose.sharing({0: one, 1: one}, written, k=16, tolerance=0.0) == {}


def test_shared_layers_attend_to_what_their_source_chose(fitted: tuple[Any, Any, Fitted]) -> None:
    opened, host, _ = fitted
    plan = (*(LayerPlan("full", 64, n) for n in range(2)), LayerPlan("shared", 64, 1))
    plan = (*plan, LayerPlan("dense"))
    shape = warmup.index_shape(host.shape)
    shared = adapters.Adapter(
        model=host.shape,
        index=shape,
        fingerprint=opened.fingerprint,
        context_tokens=512,
        plan=plan,
        indexers={n: warmup.new_indexer(host.shape, shape) for n in range(2)},
    )
    tokens = texts.sequences(opened.tokenizer, WORDS, length=200, most=1)[0]
    with torch.inference_mode(), host.looking(looks.planned(shared)):
        out = host.hidden(tokens, use_cache=False).last_hidden_state
    assert out.isfinite().all()


def test_what_cannot_be_fitted_is_refused_in_words(tiny: Any, tmp_path: Path) -> None:
    opened, host = tiny

    def start(words: list[str], length: int) -> None:
        fit.fit(opened, host, words, tmp_path, effort=EFFORT, k=64, length=length)

    with pytest.raises(ContextExceeded, match="trained for 512 tokens, not for 4096"):
        start(WORDS, 4096)
    with pytest.raises(BudgetUnfit, match="64 tokens cannot be judged on sequences of 100"):
        start(WORDS, 100)
    with pytest.raises(TextTooShort, match="at least 6"):
        start(["only a few words"], 256)
    with torch.no_grad():
        opened.model.model.layers[1].self_attn.v_proj.weight[0, 0] = float("nan")
    with pytest.raises(NotANumber, match="Layer 1"):
        start(WORDS, 256)


def test_texts_are_drawn_evenly_from_all_files(tokenizer: Any) -> None:
    draw = random.Random(0)
    long = " ".join(draw.choices(["red", "green", "blue"], k=20_000))
    short = " ".join(draw.choices(["one", "two", "three"], k=600))
    cut = texts.sequences(tokenizer, [long, short], length=256, most=4)
    shown = [tokenizer.decode(tokens) for tokens in cut]
    assert len(shown) == 4
    assert sum("two" in text for text in shown) == 2


def test_pictures_and_programs_are_no_texts(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "note.txt").write_text("Ein Café, naïve and plain.", encoding="utf-8")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "broken.gz").write_bytes(b"not gzip")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 9)
    assert texts.words_in([folder]) == ["Ein Café, naïve and plain."]
    with pytest.raises(TextTooShort, match=r"picture\.png is no text"):
        texts.words_in([folder / "picture.png"])
    with pytest.raises(TextTooShort, match="cannot be read"):
        texts.words_in([folder / "broken.gz"])
    with pytest.raises(TextTooShort, match="There is no"):
        texts.words_in([folder / "none.txt"])


def test_manual_pages_and_packed_files_are_read_as_text(tmp_path: Path) -> None:
    import gzip

    file = tmp_path / "tool.1.gz"
    file.write_bytes(gzip.compress(b".TH TOOL 1\n.SH NAME\ntool \\- does \\fBwork\\fR\n"))
    assert texts.read(file).strip() == "NAME\ntool - does work"
    file.write_bytes(b"not gzip")
    with pytest.raises(TextTooShort, match="cannot be read"):
        texts.read(file)
