"""Learning on a table whose right policy is known."""

from pathlib import Path

import numpy as np
import pytest

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer.graph import measure
from glasslipper.puppeteer.linear import Card, Linear
from glasslipper.puppeteer.reinforce import Recipe, Table, learn, play
from glasslipper.puppeteer.turns import Puppet, Turn

PUPPETS = (Puppet(model="cheap"), Puppet(model="words"), Puppet(model="sums"))


def table(count: int, seed: int) -> Table:
    """Easy tasks for everybody; of the rest, code for one puppet and numbers for another."""
    draw = np.random.default_rng(seed)
    texts, forms, turns, right = [], [], [], []
    for row in range(count):
        form = ("number", "code")[row % 2]
        easy = draw.random() < 0.6
        able = [easy, easy or form == "code", easy or form == "number"]
        texts.append(f"task {row}")
        forms.append(form)
        turns.append(
            tuple(
                Turn(
                    puppet=puppet,
                    said="",
                    answer=f"a{row}" if good else f"w{row}{puppet.model}",
                    meaning=f"a{row}" if good else f"w{row}{puppet.model}",
                    checked=bool(good),
                )
                for puppet, good in zip(PUPPETS, able, strict=True)
            )
        )
        right.append([float(good) for good in able])
    cost = np.tile([1.0, 5.0, 5.0], (count, 1))
    return Table(
        puppets=PUPPETS, texts=tuple(texts), forms=tuple(forms), turns=tuple(turns),
        right=np.array(right), cost=cost, tokens=cost * 10,
    )  # fmt: skip


@pytest.fixture(scope="module")
def policy() -> Linear:
    return learn(table(40, 1), Recipe(price=0.5, rounds=90, group=8), seed=1)


def test_it_learns_whom_to_ask_and_when_to_stop(policy: Linear) -> None:
    test = table(60, 2)
    episodes = [play(policy, test, row, None) for row in range(60)]
    assert np.mean([one.right for one in episodes]) > 0.95
    assert np.mean([one.cost for one in episodes]) < 5.0  # always asking the able one costs 5
    hard = [one for one in episodes if test.right[one.row, 0] == 0]
    easy = [one for one in episodes if test.right[one.row, 0] == 1]
    assert np.mean([one.cost for one in easy]) < np.mean([one.cost for one in hard])


def test_a_higher_price_spends_less() -> None:
    train, test = table(16, 1), table(20, 2)
    spent: list[float] = []
    for price in (0.0, 3.0):
        policy = learn(train, Recipe(price=price, rounds=25, group=6), seed=3)
        spent.append(sum(play(policy, test, row, None).cost for row in range(20)))
    assert spent[1] < spent[0]


def test_the_same_seed_learns_the_same() -> None:
    one, other = (learn(table(8, 1), Recipe(price=0.1, rounds=3), seed=7) for _ in range(2))
    assert np.array_equal(one.weights, other.weights)


def test_a_policy_is_saved_with_its_card_and_read_again(policy: Linear, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    named = Linear(policy.puppets, policy.weights, card=Card(policy="mine@1"))
    named.save(path)
    again = Linear.load(path)
    assert again.version == "mine@1"
    assert np.array_equal(again.weights, policy.weights)
    assert path.stat().st_size < 30_000_000
    path.write_text('{"v": 1}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="not a policy"):
        Linear.load(path)


def test_the_graph_counts_edges_and_pairs_that_hand_on_to_each_other() -> None:
    found = measure([["a", "b", "a"], ["a", "c"], ["b"]])
    assert (found.nodes, found.edges, found.calls) == (3, 3, 2.0)
    assert found.density == 1.0
    assert found.cycles == pytest.approx(1 / 3)
