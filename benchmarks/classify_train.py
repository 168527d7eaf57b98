"""Train the heads that the package brings: `make train-classify`.

Reads the labelled prompts from $GLASSLIPPER_DATA (by default ../shared/data) and the static
vectors of `local/static-256`; writes `head.npz` and its card into the package. The knobs and the
temperature are chosen by leaving out one family of sources at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import classify_corpora
import classify_study as study
import glasslipper.classify
from glasslipper.classify import head, prior
from glasslipper.classify.features import SIGNALS_AT
from glasslipper.classify.fit import fit_apart
from glasslipper.classify.taxonomy import TAGS, TOPICS, VERSION
from glasslipper.local import EMBEDDINGS, fetch
from glasslipper.local.embed import StaticVectors
from glasslipper.store import places

if TYPE_CHECKING:
    from glasslipper.classify.features import Embed

RELEASE = "2"
"""Of the heads: changes whenever they are trained anew and published."""


def vectors() -> Embed:
    """Return the static vectors, fetched if need be."""
    weights, tokenizer = fetch(EMBEDDINGS, folder=places.models())
    opened = StaticVectors(weights=weights, tokenizer=tokenizer)
    return lambda texts: opened.embed(texts).vectors


def trained(
    data: study.Table, start: NDArray[np.float32], labels: tuple[str, ...]
) -> tuple[head.LinearHead, study.Chosen]:
    """Return a head fitted on everything, and what was chosen for it."""
    centre = start.astype(np.float64)
    chosen = study.choose(data, centre, study.GRID)
    everything = np.ones(len(data.labels), dtype=np.bool_)
    weights = fit_apart(data.examples(everything), centre, chosen.knobs, signals_at=SIGNALS_AT)
    return head.LinearHead(labels, weights.astype(np.float32), chosen.temperature), chosen


def card(corpora: list[classify_corpora.Corpus], data: study.Table) -> dict[str, object]:
    """Return where the heads come from."""
    counted = {
        corpus.name: {
            "licence": corpus.licence,
            "from": corpus.origin,
            "prompts": int((data.corpus(corpus.name) & data.trains).sum()),
            "left_out_unlabelled": corpus.left_out,
        }
        for corpus in corpora
    }
    return {
        "version": f"{VERSION}.{RELEASE}",
        "taxonomy": VERSION,
        "vectors": EMBEDDINGS,
        "method": "logistic regressions on static embeddings and on signals (pulled to a prior), "
        "added up; knobs, temperature and habits chosen by leaving out one family of sources at "
        "a time",
        "text": "the artefact holds weights only, no prompt",
        "sources": counted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    package = Path(str(glasslipper.classify.__file__)).parent
    parser.add_argument("--out", type=Path, default=package, help="where to write the head")
    chosen = parser.parse_args()
    began = time.process_time()
    corpora = classify_corpora.load(classify_corpora.folder())
    rows = study.rows_of(corpora, vectors())
    topics = study.table(corpora, rows, TOPICS, field="topic")
    tags = study.table(corpora, rows, TAGS, field="tag")
    told = card(corpora, topics)
    topic_head, topic_choice = trained(topics, prior.topic_prior(), TOPICS)
    tag_head, tag_choice = trained(tags, prior.tag_prior(), TAGS)
    told["topics"], told["tags"] = topic_choice.told(), tag_choice.told()
    head.save(
        chosen.out, head.Heads(topic_head, tag_head, topic_choice.usual, topic_choice.trust, told)
    )
    size_bytes = (chosen.out / head.WEIGHTS).stat().st_size
    print(f"trained in {time.process_time() - began:.0f} s of CPU", file=sys.stderr)
    print(
        json.dumps({"artefact_bytes": size_bytes, "topics": told["topics"], "tags": told["tags"]})
    )


if __name__ == "__main__":
    main()
