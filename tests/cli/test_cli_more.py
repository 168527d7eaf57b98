"""`glasslipper import`, `prices` and `explain`, against a real server and a scripted provider."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from glasslipper.testing.upstream import key_mark

SECRET, OURS = "sk-literal-0123456789abcdef", "sk-ours-0123456789"


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=4) as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, provider: FakeUpstream, cli_at: Any
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("more")
    environ = cli_at(folder / "home", folder / "models").environ | {
        "OPENAI_API_KEY": OURS,
        "GLASSLIPPER_OPENAI_BASE_URL": provider.url,
        "DEEPSEEK_API_KEY": OURS,
        "GLASSLIPPER_DEEPSEEK_BASE_URL": provider.url,
    }
    with Served(folder / "home", environ=environ) as served:
        yield served


@pytest.fixture(scope="module")
def there(gateway: Served, tmp_path_factory: pytest.TempPathFactory, cli_at: Any) -> Any:
    """Commands on the home that the gateway serves."""
    return cli_at(gateway.home, tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, provider: FakeUpstream) -> Path:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    costs = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    there = {"model": "openai/fake", "api_base": provider.url, **costs}
    entries = [
        {"model_name": "team/gpt", "litellm_params": {"model": "openai/gpt-4o", "rpm": 7}},
        {"model_name": "team/fake", "litellm_params": there | {"api_key": SECRET}},
        {"model_name": "team/azure", "litellm_params": {"model": "azure/x", "api_key": SECRET}},
    ]
    document = {"model_list": entries, "general_settings": {"master_key": SECRET}}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def ask(gateway: Served, model: str, **more: object) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    status, answer = gateway.call("POST", "/v1/chat/completions", body, key=gateway.key)
    assert status == 200, answer
    return answer


def models(gateway: Served) -> list[str]:
    return [one["id"] for one in gateway.call("GET", "/v1/models")[1]["data"]]


def test_a_litellm_file_is_taken_over_in_one_go_and_again_without_harm(
    there: Any, gateway: Served, provider: FakeUpstream, config: Path
) -> None:
    for _ in range(2):
        told = there.json("import", "litellm", str(config))
        assert [one["offered"] for one in told["data"]["models"]] == [True, True, False]
        assert SECRET not in json.dumps(told)
    brought = gateway.call("GET", "/api/v1/byok")[1]["data"]
    assert [(one["account"], one["provider"]) for one in brought] == [("org-default", "custom")]

    ask(gateway, "team/gpt")
    assert provider.calls()[-1]["model"] == "gpt-4o"
    assert provider.calls()[-1]["key"] == key_mark(OURS.encode())
    answer = ask(gateway, "team/fake")
    assert provider.calls()[-1]["model"] == "fake"
    assert provider.calls()[-1]["key"] == key_mark(SECRET.encode())
    assert answer["usage"]["cost_nanousd"] == 10 * 1_000 + 4 * 2_000
    files = [path for path in gateway.home.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    there: Any, gateway: Served, config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dry.yaml"
    text = config.read_text(encoding="utf-8").replace("team/", "dry/")
    path.write_text(text, encoding="utf-8")
    dry = there.ok("import", "litellm", str(path), "--dry-run")
    assert "dry/gpt: as dry/gpt@openai" in dry
    assert "dry/azure: not taken" in dry
    assert "litellm_params.rpm" in dry
    assert "general_settings.master_key" in dry
    assert SECRET not in dry
    assert not [model for model in models(gateway) if model.startswith("dry/")]
    named = [key["name"] for key in gateway.call("GET", "/api/v1/byok")[1]["data"]]
    assert not [name for name in named if "dry/" in name]


def test_an_imported_model_is_priced_by_the_catalogue_where_the_file_says_nothing(
    there: Any, gateway: Served, config: Path
) -> None:
    there.ok("import", "litellm", str(config))
    imported, known = (
        there.json("prices", model)["data"][0] for model in ("team/gpt", "openai/gpt-4o")
    )
    assert imported["rates"] == known["rates"]
    assert "genai-prices" in imported["source"]
    assert ask(gateway, "team/gpt")["usage"]["cost_nanousd"] > 0


def test_a_file_that_is_none_is_refused(there: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: [", encoding="utf-8")
    assert there.error("import", "litellm", str(path))["code"] == "invalid_request"
    assert there.error("import", "litellm", str(tmp_path / "absent"))["hint"]


def test_an_import_without_a_server_is_there_when_one_starts(cli: Any, config: Path) -> None:
    cli.ok("import", "litellm", str(config))
    listed = cli.json("models")["data"]
    assert {"team/gpt", "team/fake"} <= {one["id"] for one in listed}


def test_prices_are_shown_with_their_source_and_age(there: Any) -> None:
    page = there.ok("prices", "gpt-4o-mini", "--provider", "openai")
    line = next(line for line in page.splitlines() if line.startswith("openai/gpt-4o-mini "))
    assert "genai-prices" in line
    assert "$0.15" in line
    assert "day" in line
    (found,) = [
        one
        for one in there.json("prices", "gpt-4o-mini")["data"]
        if one["endpoint"] == "openai/gpt-4o-mini@openai"
    ]
    assert found["rates"]["input"] == 150_000_000
    assert found["age_days"] >= 0
    assert there.json("prices", "--provider", "nobody")["data"] == []


def test_hours_and_tiers_of_prices_are_shown(there: Any) -> None:
    page = there.ok("prices", "--provider", "deepseek")
    assert "00:30-16:30 UTC" in page
    versions = [
        version
        for one in there.json("prices", "--provider", "deepseek")["data"]
        for version in one["versions"]
    ]
    assert any(version["hours"] for version in versions)


def test_a_generation_is_explained(there: Any, gateway: Served, provider: FakeUpstream) -> None:
    gateway.add_model(
        "twice/served", provider.url, provider="bad", upstream_model="fake?status=500"
    )
    gateway.add_model("twice/served", provider.url, provider="good", upstream_model="fake")
    order = {"order": ["bad", "good"]}
    identity = ask(gateway, "twice/served", provider=order)["id"]
    told = there.ok("explain", identity)
    candidates, happened, money = told.split("\n\n")[1:]
    assert "twice/served@bad" in candidates
    assert "%" in candidates
    first, second = happened.splitlines()[1:]
    assert "twice/served@bad: error" in first
    assert "HTTP 500" in first
    assert "twice/served@good: ok" in second
    assert "input $1.00, output $2.00 a million; user" in money
    assert "charged $0.000018" in money
    found = there.json("explain", identity)
    assert found["data"]["id"] == identity
    assert found["price"]["id"] == found["data"]["price_id"]


def test_whoever_may_not_manage_hears_of_own_generations_without_the_price_row(
    there: Any, gateway: Served
) -> None:
    identity = ask(gateway, "openai/gpt-4o-mini")["id"]
    told = there.ok("explain", identity, "--key", gateway.key)
    assert "by the price row price-" in told
    other = gateway.make_key("other")
    refused = there.error("explain", identity, "--key", other)
    assert refused["code"] == "generation_not_found"
    assert there.error("prices", "--key", other)["code"] == "not_permitted"


def test_a_price_row_can_be_looked_up_for_ever(there: Any, gateway: Served) -> None:
    identity = ask(gateway, "openai/gpt-4o-mini")["id"]
    row = there.json("explain", identity)["data"]["price_id"]
    status, kept = gateway.call("GET", f"/api/v1/admin/prices/{row}")
    assert status == 200
    assert kept["data"]["endpoint"] == "openai/gpt-4o-mini@openai"
    assert kept["data"]["rates"]["input"] == 150_000_000
    assert gateway.call("GET", "/api/v1/admin/prices/price-none")[0] == 404
