"""Commands on a home that no server serves: they open the store themselves."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest


def test_a_key_is_printed_once_and_alone_so_that_scripts_can_take_it(cli: Any) -> None:
    done = cli.run("keys", "create", "ci")
    assert done.returncode == 0
    secret = done.stdout.strip()
    assert secret.startswith("sk-gl-")
    assert "ci" in done.stderr
    assert secret not in cli.ok("keys", "list")
    assert secret not in cli.ok("keys", "list", "--json")


def test_a_key_keeps_its_limit_period_expiry_and_labels(cli: Any) -> None:
    options = ["--limit", "$5.000000001", "--reset", "monthly", "--ttl", "1h"]
    made = cli.json("keys", "create", "ci", *options, "--label", "team=a=b", "--management")
    (listed,) = cli.json("keys", "list")["data"]
    assert listed == made["data"]
    assert listed["limit_nanousd"] == 5_000_000_001
    assert listed["limit_reset"] == "monthly"
    assert listed["labels"] == {"team": "a=b"}
    assert listed["is_management_key"]
    assert listed["expires_at"] > listed["created_at"]
    table = cli.ok("keys", "list")
    assert "$5.000000001 monthly" in table
    assert "manages until" in table


def test_a_key_is_disabled_and_enabled_by_name_or_id(cli: Any) -> None:
    key_id = cli.json("keys", "create", "ci")["data"]["id"]
    assert cli.json("keys", "disable", "ci")["data"]["disabled"]
    assert "disabled" in cli.ok("keys", "list")
    assert not cli.json("keys", "enable", key_id)["data"]["disabled"]
    assert "works" in cli.ok("keys", "list")


def test_a_limit_is_set_and_taken_away(cli: Any) -> None:
    cli.ok("keys", "create", "ci")
    changed = cli.json("keys", "limit", "ci", "0.25", "--reset", "daily")["data"]
    assert (changed["limit_nanousd"], changed["limit_reset"]) == (250_000_000, "daily")
    assert cli.json("keys", "limit", "ci", "1")["data"]["limit_reset"] == "daily"
    assert cli.json("keys", "limit", "ci", "none")["data"]["limit_nanousd"] is None


def test_a_name_that_two_keys_have_is_refused_with_both_ids(cli: Any) -> None:
    ids = [cli.json("keys", "create", "twin")["data"]["id"] for _ in range(2)]
    error = cli.error("keys", "disable", "twin")
    assert error["code"] == "not_found"
    assert all(key_id in error["hint"] for key_id in ids)


def test_a_key_that_is_not_there_is_an_error_with_a_hint(cli: Any) -> None:
    done = cli.run("keys", "disable", "nobody")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "There is no key 'nobody'.",
        "`glasslipper keys list` shows them.",
    ]


def test_names_are_never_markup_nor_commands_to_the_terminal(cli: Any) -> None:
    cli.ok("keys", "create", "[bold]x[/oops] \x1b[31mred")
    table = cli.ok("keys", "list")
    assert "[bold]x[/oops] [31mred" in table
    assert "\x1b" not in table


def test_bytes_that_are_no_text_are_a_sentence(cli: Any) -> None:
    done = subprocess.run(
        [*map(os.fsencode, cli.command("keys", "create")), b"\xff"],
        capture_output=True,
        env=cli.environ,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"JSON" in done.stderr
    assert b"Traceback" not in done.stderr


def test_nothing_was_spent_yet(cli: Any) -> None:
    assert cli.json("spend")["data"] == []
    assert "$0.00" in cli.ok("spend", "--by", "day", "--since", "2026-11-01")


def test_models_that_could_be_fetched_are_listed(cli: Any) -> None:
    found = {model["id"]: model for model in cli.json("models")["data"]}
    assert found["local/smol"]["fetched"] is False
    assert found["local/smol"]["download_bytes"] > 50_000_000
    assert "no (93 MB)" in cli.ok("models")


def test_a_fetched_model_is_listed_with_its_price(cli: Any, smol_path: Path) -> None:
    cli.environ["GLASSLIPPER_MODELS"] = str(smol_path.parent)
    (smol,) = cli.json("models", "list", "SMOL")["data"]
    assert smol["fetched"] is True
    assert smol["pricing"]["cpu_second"]
    assert "a CPU-hour" in cli.ok("models", "list", "smol")


def test_a_server_is_added_with_exact_prices_and_removed(cli: Any) -> None:
    place = ["lab/big", "http://127.0.0.1:9/v1"]
    prices = ["--price-in", "0.10", "--price-out", "$0.30", "--context", "4000"]
    cli.ok("models", "add", *place, *prices, "--upstream-model", "big", "--key-env", "LAB_KEY")
    (model,) = cli.json("models", "list", "lab/")["data"]
    assert model["context_length"] == 4000
    assert "$0.10 in, $0.30 out a million" in cli.ok("models", "list", "lab/")
    cli.ok("models", "remove", "lab/big")
    assert cli.json("models", "list", "lab/")["data"] == []
    assert cli.error("models", "remove", "lab/big")["code"] == "not_found"


def test_a_server_without_a_price_is_added_with_a_warning(cli: Any) -> None:
    done = cli.run("models", "add", "lab/free", "http://127.0.0.1:9/v1")
    assert done.returncode == 0
    assert "--price-in" in done.stderr
    assert "unknown" in cli.ok("models", "list", "lab/")


def test_a_file_is_added_and_told_of_when_it_is_gone(
    cli: Any, smol_path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.gguf"
    file.symlink_to(smol_path)
    cli.ok("models", "add", "local/mine", str(file))
    (model,) = cli.json("models", "list", "mine")["data"]
    assert model["local"]
    file.unlink()
    checks = json.loads(cli.run("doctor", "--json").stdout)["checks"]
    (check,) = [check for check in checks if check["name"] == "local/mine"]
    assert check["state"] == "missing"
    assert "glasslipper models remove local/mine" in check["hint"]


def test_a_file_that_is_no_model_is_refused(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a model", encoding="utf-8")
    assert "GGUF" in cli.error("models", "add", "x", str(tmp_path / "notes.txt"))["message"]
    assert "cannot be read" in cli.error("models", "add", "x", str(tmp_path / "no"))["message"]
    assert "local/smol" in cli.error("models", "add", "local/smol", str(tmp_path / "no"))["message"]


def test_a_model_that_is_there_is_pulled_without_a_word(cli: Any, smol_path: Path) -> None:
    cli.environ["GLASSLIPPER_MODELS"] = str(smol_path.parent)
    done = cli.run("models", "pull", "local/smol", "--json")
    pulled = json.loads(done.stdout)
    assert pulled == {"id": "local/smol", "paths": [str(smol_path)], "fetched": False}
    assert done.stderr == ""


@pytest.mark.parametrize("source", ["hf:file.gguf", "hf:owner/repo", "hf:owner/repo:file.bin"])
def test_a_file_of_the_hub_must_be_named_whole(cli: Any, source: str) -> None:
    assert "hf:owner/repo:file.gguf" in cli.error("models", "pull", source)["hint"]


def test_an_unknown_model_cannot_be_pulled(cli: Any) -> None:
    error = cli.error("models", "pull", "local/none")
    assert error["code"] == "model_not_found"
    assert "local/smol" in error["hint"]


def test_asking_without_a_server_says_how_to_start_one(cli: Any) -> None:
    done = cli.run("ask", "hi")
    assert done.returncode == 1
    assert "No server is running." in done.stderr
    assert "glasslipper up" in done.stderr


def test_an_address_where_nothing_answers_is_a_sentence(cli: Any) -> None:
    error = cli.error("keys", "list", "--url", "http://127.0.0.1:9")
    assert error["code"] == "setup_missing"
    assert "127.0.0.1:9" in error["message"]
    for wrong in ("ftp://x", "http://", "http://x:99999", "http://[::1"):
        assert "address of a server" in cli.error("keys", "list", "--url", wrong)["message"]


def test_a_wrong_setting_is_a_sentence(cli: Any) -> None:
    cli.home.mkdir()
    (cli.home / "settings.toml").write_text('durability = "hope"', encoding="utf-8")
    assert cli.error("keys", "list")["code"] == "setup_missing"


def test_a_store_of_a_newer_version_is_refused_and_left_alone(cli: Any) -> None:
    cli.ok("keys", "create", "ci")
    state = cli.home / "state.sqlite"
    with sqlite3.connect(state) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert cli.error("keys", "list")["code"] == "store_newer"
    done = cli.run("doctor", "--json")
    assert done.returncode == 1
    (check,) = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "store"]
    assert (check["state"], "format 99" in check["text"]) == ("missing", True)


def test_a_damaged_store_is_a_sentence(cli: Any) -> None:
    cli.home.mkdir()
    (cli.home / "state.sqlite").write_bytes(b"this is not a database" * 500)
    assert cli.error("keys", "list")["code"] == "store_failed"
    assert cli.run("doctor").returncode == 1


def test_a_reader_that_leaves_is_no_complaint(cli: Any) -> None:
    cli.ok("keys", "create", "ci")
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            cli.command("keys", "list"),
            stdout=write,
            stderr=subprocess.PIPE,
            env=cli.environ,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == b""
    assert done.returncode != 0


def test_doctor_says_what_is_missing_and_how_to_get_it(cli: Any) -> None:
    done = cli.run("doctor", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert not report["healthy"]
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["local/smol"]["state"] == "missing"
    assert "glasslipper models pull local/smol" in checks["local/smol"]["hint"]
    assert checks["server"]["state"] == "optional"
    assert not cli.home.exists()
    assert "glasslipper models pull local/smol" in cli.run("doctor").stdout


def test_doctor_is_content_with_a_provider_and_never_shows_its_key(cli: Any) -> None:
    done = cli.run("doctor", "--json", environ={"OPENAI_API_KEY": "sk-very-secret"})
    assert done.returncode == 0, done.stdout
    assert "OPENAI_API_KEY" in done.stdout
    assert "sk-very-secret" not in done.stdout


def test_doctor_tells_a_wrong_model_file_by_its_size_and_deeply_by_its_hash(
    cli: Any, smol_path: Path
) -> None:
    models = Path(cli.environ["GLASSLIPPER_MODELS"])
    models.mkdir()
    file = models / smol_path.name
    file.write_bytes(b"GGUF")
    assert "has 4 bytes" in cli.run("doctor").stdout
    with file.open("wb") as opened:
        opened.truncate(smol_path.stat().st_size)
    assert cli.run("doctor").returncode == 0
    done = cli.run("doctor", "--deep")
    assert done.returncode == 1
    assert "wrong content" in done.stdout
