"""Label prompts of sources that the head never saw; ends with one line of JSON.

Every family of sources is left out in turn. Everything is chosen on the others only, by leaving
out each of *them* in turn (`chosen` tells what, and how well it did there); then the left-out
prompts are labelled once. `accuracy` and `macro_f1` are of the likeliest label of every prompt, so
that abstaining cannot flatter them;
`accuracy_when_sure` is of those that the classifier would have told (calibrated probability at
least one half), `abstained` the share of the others. `accuracy_with_habits` lets the source's
prompts come one after another as one workload, whose mixture is learned without labels
(`classify.habits`), as the gateway does with what one key and application ask. `programming_f1`
is over all judged prompts but those of banking77, which are all about one thing, and beside it
with them; `programming_per_source` tells what it is taken for and what is taken for it.

`ceiling` is no figure of the classifier. It tells how far the labels go: the F1 of the best
threshold on the probability of programming with all labels in sight; the same head with the labels
of most of the source given to it (`with_own_labels`); and a reader's labels of prompts drawn by
chance (`classify_read.tsv`, made without seeing any label) beside the source's and the head's.

CPU is measured on `Classifier.label` as the gateway calls it: vectors, signals, both heads,
language and code language. --quick skips the inner choice of knobs and takes the defaults.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from numpy.typing import NDArray

import classify_ceiling as ceiling
import classify_corpora
import classify_study as study
from classify_train import vectors
from glasslipper.classify import prior
from glasslipper.classify.classifier import SURE, Classifier
from glasslipper.classify.fit import Knobs
from glasslipper.classify.taxonomy import TAGS, TOPICS
from glasslipper.kernel.messages import Message, Request, TextPart

Figures = dict[str, float | int]


def figures(judged: study.Judged, data: study.Table, mask: NDArray[np.bool_]) -> Figures:
    """Return what is told of one source."""
    inside = mask[judged.mask]
    chances, labels = judged.probabilities[inside], data.labels[judged.mask][inside]
    found, sure = chances.argmax(axis=1), chances.max(axis=1) >= SURE
    right = found == labels
    in_turn = study.in_turn(chances, judged.chosen.usual, judged.chosen.trust).argmax(axis=1)
    return {
        "prompts": len(labels),
        "accuracy": _rounded(right.mean()),
        "macro_f1": _rounded(study.macro_f1(found, labels)),
        "abstained": _rounded(1.0 - sure.mean()),
        "accuracy_with_habits": _rounded((in_turn == labels).mean()),
        "macro_f1_with_habits": _rounded(study.macro_f1(in_turn, labels)),
        "accuracy_when_sure": _rounded(right[sure].mean() if sure.any() else 0.0),
        "calibration_error": _rounded(calibration_error(chances.max(axis=1), right)),
    }


def calibration_error(told: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Return how far probabilities are from shares of rightness, over ten bins of equal width."""
    bins = np.minimum((told * 10).astype(int), 9)
    gaps = [
        (bins == one).mean()
        * abs(float(told[bins == one].mean()) - float(right[bins == one].mean()))
        for one in np.unique(bins)
    ]
    return float(np.sum(gaps))


def leave_each_out(
    data: study.Table, start: NDArray[np.float32], grid: tuple[Knobs, ...], title: str
) -> tuple[dict[str, Figures], list[study.Judged]]:
    """Return the figures of every judged source, and what they were made from."""
    told: dict[str, Figures] = {}
    everything: list[study.Judged] = []
    for family in data.judged():
        judged = study.judge(data, start.astype(np.float64), grid, family=family)
        everything.append(judged)
        for corpus in data.known:
            mask = data.corpus(corpus.name)
            if corpus.family == family and corpus.judged and mask.any():
                told[corpus.name] = figures(judged, data, mask)
                print(f"  {title} {corpus.name:<16} {told[corpus.name]}", file=sys.stderr)
    return told, everything


def cpu_ms(classifier: Classifier, texts: list[str]) -> tuple[float, float]:
    """Return mean and 99th percentile of the CPU milliseconds of a label."""
    requests = [
        Request(model="any", messages=(Message(role="user", parts=(TextPart(text=text),)),))
        for text in texts
    ]
    for request in requests[:200]:
        classifier.label(request)
    spent: list[float] = []
    for request in requests:
        began_ns = time.thread_time_ns()
        classifier.label(request)
        spent.append((time.thread_time_ns() - began_ns) / 1e6)
    return float(np.mean(spent)), float(np.percentile(spent, 99))


def _means(per_source: dict[str, Figures]) -> Figures:
    """Return the mean over the sources of every figure that is a share."""
    names = [name for name in next(iter(per_source.values())) if name != "prompts"]
    return {
        f"mean_{name}": _rounded(np.mean([one[name] for one in per_source.values()]))
        for name in names
    }


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="take the default knobs")
    quick = parser.parse_args().quick
    grid = (Knobs(),) if quick else study.GRID
    folder = classify_corpora.folder()
    try:
        corpora = classify_corpora.load(folder)
    except FileNotFoundError as error:
        sys.exit(f"There is no {error.filename}: set GLASSLIPPER_DATA to the folder of the data.")
    embed = vectors()
    rows = study.rows_of(corpora, embed)
    topics = study.table(corpora, rows, TOPICS, field="topic")
    tags = study.table(corpora, rows, TAGS, field="tag")
    start = prior.topic_prior()
    per_source, everything = leave_each_out(topics, start, grid, "topic")
    found = ceiling.gathered(everything, topics, start, folds=2 if quick else 5)
    several = found.where(found.names != "banking77")
    tag_sources, _ = leave_each_out(tags, prior.tag_prior(), grid, "tag")
    texts = [
        prompt.text
        for corpus in corpora
        if corpus.judged and corpus.name != "banking77"
        for prompt in corpus.prompts
    ]
    mean_ms, p99_ms = cpu_ms(Classifier(embed), texts)
    line = {
        "per_source": per_source,
        **_means(per_source),
        "cpu_ms_per_request": _rounded(mean_ms),
        "cpu_ms_p99": _rounded(p99_ms),
        "programming_f1": ceiling.programming(several.told, several.labels)["f1"],
        "programming": ceiling.programming(several.told, several.labels),
        "programming_with_banking77": ceiling.programming(found.told, found.labels),
        "programming_with_habits": ceiling.programming(several.in_turn, several.labels),
        "programming_per_source": ceiling.confusion(several),
        "ceiling": ceiling.told(found, ceiling.read_by_hand(corpora)),
        "tags_per_source": tag_sources,
        "chosen": {
            family: one.chosen.told()
            for family, one in zip(topics.judged(), everything, strict=True)
        },
        "left_out_unlabelled": sum(one.left_out for one in corpora if one.judged),
        "quick": quick,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
