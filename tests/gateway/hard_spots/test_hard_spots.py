"""Every page of the catalogue beside: each client dialect over each provider dialect, served.

A page says what clients ask and providers must be asked, or what providers say and clients must
be told, or both; then what comes back where the client sends the answer back with a tool's
result. An expectation may differ for a pair: `messages from gemini`, `gemini when chat asks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import as_client
import as_provider
import pytest
from fitting import misfits, pages

from glasslipper.testing.parrot import Parrot
from glasslipper.testing.served import Served

HERE = Path(__file__).parent

ASK, ASKED = "clients ask", "providers are asked"
SAY, HEAR = "providers say", "clients hear"
RESULT, THEN = "the tool gives", "then providers are asked"
PAGE = {"spot", "model", ASK, ASKED, SAY, HEAR, RESULT, THEN, "headers"}


class Case(NamedTuple):
    """One page, read by one client over one provider, whole or in a stream."""

    page: dict[str, Any]
    client: str
    provider: str
    stream: bool

    @property
    def expected(self) -> Any:
        """What the client must hear, if the page says."""
        at = f"{self.client} from {self.provider}"
        return _nearest(self.page.get(HEAR, {}), at, self.client, stream=self.stream)

    def asked(self, which: str) -> Any:
        """What the provider must be asked, if the page says."""
        at = f"{self.provider} when {self.client} asks"
        return _nearest(self.page.get(which, {}), at, self.provider, stream=self.stream)


def _nearest(told: dict[str, Any], pair: str, one: str, *, stream: bool) -> Any:
    ways = [f"{pair}, streamed", f"{one}, streamed"] if stream else []
    return next((told[name] for name in [*ways, pair, one] if name in told), None)


def cases() -> Iterator[Any]:
    for path in sorted(HERE.glob("*.yaml")):
        for page in pages(path):
            assert set(page) <= PAGE, set(page) - PAGE
            clients = page.get(ASK) or as_client.PLAIN
            providers = [name for name in as_provider.PLAIN if _speaks(page, name)]
            for client in clients:
                for provider in providers:
                    for stream in (False, True):
                        case = Case(page, client, provider, stream)
                        if case.expected is None and case.asked(ASKED) is None:
                            continue
                        how = "streamed" if stream else "whole"
                        name = f"{path.stem}: {page['spot']} [{client} over {provider}, {how}]"
                        yield pytest.param(case, id=name)


def _speaks(page: dict[str, Any], provider: str) -> bool:
    if SAY in page:
        return provider in page[SAY]
    return any(name.split(" ")[0].rstrip(",") == provider for name in page[ASKED])


@pytest.mark.parametrize("case", list(cases()))
def test_hard_spot(gateway: Served, parrot: Parrot, case: Case) -> None:
    page, client = case.page, case.client
    said = page.get(SAY, as_provider.PLAIN)[case.provider]
    parrot.teach(as_provider.MODELS[case.provider], as_provider.lesson(case.provider, said))
    before = len(parrot.asked())
    asked = (page.get(ASK) or as_client.PLAIN)[client]
    model = f"hard/{case.provider}"

    def ask(body: Any) -> as_client.Heard:
        return as_client.ask(
            gateway, client, body, model=model, stream=case.stream, headers=page.get("headers")
        )

    heard = ask(asked)
    wrong: list[str] = []
    if case.expected is not None:
        wrong += misfits(case.expected, _seen(heard, case.expected))
    elif heard.status != 200:
        wrong.append(f"answered {heard.status}: {heard.body}")
    calls = parrot.asked()[before:]
    if (expected := case.asked(ASKED)) is not None:
        wrong += misfits(expected, calls[0]["body"], "asked") if calls else ["nobody was asked"]
    if (expected := case.asked(THEN)) is not None and not wrong:
        heard = ask(as_client.gone_on(client, asked, heard.body, page[RESULT]))
        if heard.status != 200:
            wrong.append(f"then answered {heard.status}: {heard.body}")
        wrong += misfits(expected, parrot.asked()[-1]["body"], "then asked")
    assert not wrong, "\n".join(wrong)


def _seen(heard: as_client.Heard, expected: Any) -> Any:
    """Return what an expectation is about: the answer, a refusal, or how a stream broke off."""
    if "http" in expected:
        return {"http": heard.status, "headers": heard.headers, "body": heard.body}
    if "breaks off" in expected:
        return {"breaks off": heard.broken, "so far": heard.body}
    return heard.broken or heard.body
