"""`glasslipper dsa fit` and `glasslipper dsa eval`: make an adapter, and judge one."""

# pyright: reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, say

if TYPE_CHECKING:
    from glasslipper.cli.sparse import Loaded
    from glasslipper.dsa.adapter import Adapter

Command = TypeVar("Command", bound=Callable[..., object])
HERE = click.Path(path_type=Path)


def _common(command: Command) -> Command:
    for option in (
        click.option("--model", required=True, help="A folder, a GGUF file, or local/smol."),
        click.option("--out", type=HERE, help="Folder of the adapter.  [beside the model]"),
        click.option("--length", type=click.IntRange(128), default=2048, help="Tokens.  [2048]"),
        click.option("--device", default="cpu", help="Where to compute: cpu or cuda.  [cpu]"),
        click.option("--threads", type=click.IntRange(1), help="Threads to compute with."),
        click.option(
            "--dtype",
            type=click.Choice(["bfloat16", "float32"]),
            default="bfloat16",
            help="Numbers to compute in.  [bfloat16]",
        ),
        click.option("--quiet", is_flag=True, help="Show no progress."),
        options.as_json,
    ):
        command = option(command)
    return command


@options.example(
    "glasslipper dsa fit --model local/smol --text docs/ --test other.txt",
    "glasslipper dsa fit --model ./Qwen3-8B --text corpus/ --length 8192 --budget 2048",
)
@click.command()
@click.option(
    "--text", "text", type=HERE, multiple=True, required=True, help="Files to learn from."
)
@click.option("--test", type=HERE, multiple=True, help="Files to judge by.  [kept from --text]")
@click.option(
    "--effort",
    type=click.Choice(["quick", "normal", "long"]),
    default="normal",
    help="How much is done.  [normal]",
)
@click.option("--budget", type=click.IntRange(64), default=256, help="Mean tokens kept.  [256]")
@click.option(
    "--share",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Mass that a layer may lose by sharing another's choice.  [0]",
)
@click.option(
    "--sparse-stage",
    "stage",
    type=click.Choice(["lora", "full"]),
    help="Then let the model learn too, by small changes beside its weights.",
)
@click.option("--stage-steps", type=click.IntRange(1), default=60, help="Its steps.  [60]")
@click.option("--work", type=HERE, help="Where to keep what is done so far.  [in --out]")
@click.option("--no-report", is_flag=True, help="Do not judge the adapter afterwards.")
@_common
def fit(
    *,
    model: str,
    text: tuple[Path, ...],
    test: tuple[Path, ...],
    out: Path | None,
    effort: str,
    budget: int,
    share: float,
    stage: Literal["lora", "full"] | None,
    stage_steps: int,
    length: int,
    work: Path | None,
    no_report: bool,
    threads: int | None,
    device: str,
    dtype: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fit sparse attention to a model; the model itself is not touched.

    Stop it whenever you like: the same command goes on where it was.
    """
    from glasslipper.cli import sparse

    with sparse.resumable(), sparse.our_words(), sparse.progress(quiet=quiet) as tell:
        from glasslipper.dsa import adapter as adapters
        from glasslipper.dsa import fit as fitting
        from glasslipper.dsa import texts
        from glasslipper.dsa.sparse_stage import Stage

        path = sparse.find_model(model, quiet=quiet)
        folder = out or sparse.beside(path)
        loaded = sparse.load(path, threads=threads, dtype=dtype, device=device)
        words = texts.words_in(text)
        # Looked at first: what cannot be judged by is to be said before hours are spent.
        judged = _sequences(loaded, test, length)
        # What was found for another model or other words must not be taken up.
        of = _digest(loaded.opened.fingerprint, *words)
        unfinished = (work or folder) / f"work-{effort}-{length}-{of}"
        fitted = fitting.fit(
            loaded.opened,
            loaded.host,
            words,
            unfinished,
            effort=fitting.EFFORTS[effort],
            k=budget,
            length=length,
            share_tolerance=share,
            stage=Stage(kind=stage, steps=stage_steps) if stage else None,
            on_progress=tell,
        )
        file = adapters.save(fitted.adapter, folder)
        told: dict[str, Any] = {
            "adapter": str(file),
            "bytes": file.stat().st_size,
            "seconds": round(fitted.seconds, 1),
            "sparse_stage": fitted.adapter.made_with.get("sparse_stage"),
            "dense_layers": [n for n, p in enumerate(fitted.adapter.plan) if p.kind == "dense"],
        }
        if not no_report:
            # The first sequences of the text, as fitting keeps them aside.
            kept = min(4, fitting.EFFORTS[effort].calibration)
            judged = judged or {
                "kept from the text": texts.sequences(
                    loaded.opened.tokenizer, words, length=length, most=kept
                )
            }
            told["report"] = _report(loaded, fitted.adapter, judged, folder, (budget,), tell)
        if work is None:
            shutil.rmtree(unfinished, ignore_errors=True)
    _tell(told, as_json=as_json)


@options.example("glasslipper dsa eval --model local/smol --test other.txt")
@click.command("eval")
@click.option("--test", type=HERE, multiple=True, required=True, help="Files to judge by.")
@click.option("--budget", type=click.IntRange(64), multiple=True, help="Budgets.  [256 and 512]")
@click.option(
    "--prefill-block",
    "block",
    type=click.IntRange(0, 256),
    default=0,
    help="Also judge a prefill in which so many tokens share one choice.",
)
@_common
def evaluate(
    *,
    model: str,
    test: tuple[Path, ...],
    budget: tuple[int, ...],
    block: int,
    out: Path | None,
    length: int,
    threads: int | None,
    device: str,
    dtype: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Judge an adapter on texts that it has not learned from; writes a page with pictures.

    Stop it whenever you like: the same command goes on where it was.
    """
    from glasslipper.cli import sparse

    with sparse.resumable(), sparse.our_words(), sparse.progress(quiet=quiet) as tell:
        path = sparse.find_model(model, quiet=quiet)
        folder = out or sparse.beside(path)
        loaded = sparse.load(path, threads=threads, dtype=dtype, device=device)
        adapter = sparse.load_adapter(loaded, folder)
        judged = _sequences(loaded, test, length)
        told = _report(loaded, adapter, judged, folder, budget or (256, 512), tell, block=block)
    _tell(told, as_json=as_json)


def _sequences(loaded: Loaded, test: tuple[Path, ...], length: int) -> dict[str, Sequence[Any]]:
    from glasslipper.dsa import texts
    from glasslipper.dsa.errors import TextTooShort

    found: dict[str, Sequence[Any]] = {}
    for place in test:
        words = texts.words_in([place])
        cut = texts.sequences(loaded.opened.tokenizer, words, length=length, most=4)
        if not cut:
            raise TextTooShort(f"{place} has fewer than {length} tokens.")
        found[place.name] = cut
    return found


def _report(
    loaded: Loaded,
    adapter: Adapter,
    judged: Mapping[str, Sequence[Any]],
    folder: Path,
    budgets: tuple[int, ...],
    tell: Callable[[str, int, int], None],
    *,
    block: int = 0,
) -> dict[str, Any]:
    from glasslipper.dsa import evaluate, page
    from glasslipper.dsa.memo import Memo

    unfinished = folder / f"judging-{_print_of(folder, judged)}"
    length = len(next(iter(judged.values()))[0])
    report = evaluate.evaluate(
        loaded.host,
        adapter,
        judged,
        budgets=budgets,
        needle_lengths=(length // 2, length),
        block=block,
        tokenizer=loaded.opened.tokenizer,
        memo=Memo(unfinished),
        on_progress=tell,
    )
    shutil.rmtree(unfinished, ignore_errors=True)
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    shown = folder / "report.html"
    shown.write_text(page.render(report), encoding="utf-8")
    return {"page": str(shown), **report}


def _print_of(folder: Path, judged: Mapping[str, Sequence[Any]]) -> str:
    """Return what tells this adapter on these texts from others."""
    from glasslipper.dsa.adapter import FILE

    cut = {name: [tokens_S.tolist() for tokens_S in some] for name, some in judged.items()}
    return _digest(hashlib.sha256((folder / FILE).read_bytes()).hexdigest(), repr(cut))


def _digest(*words: str) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()[:12]


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    if "adapter" in told:
        say(f"The adapter is {told['adapter']} ({told['bytes'] / 1e6:.1f} MB).")
        if stage := told["sparse_stage"]:
            before, after = stage["held_before"], stage["held_after"]
            kept = "kept" if after < before else "no better, so the model stays as it is"
            say(f"The sparse stage: {before:.4f} to {after:.4f} nats a token; {kept}.")
    report = told.get("report", told)
    for name, text in report.get("perplexity", {}).items():
        say(f"{name}, perplexity against dense in the later half:")
        for way, ratio in text["later_half"].items():
            say(f"  {way:<12} {ratio:.4f}")
    if "page" in report:
        mention(f"Pictures: {report['page']}")
