"""Models that users add, as the state file and the admin API spell them. Offers nothing itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field, structs

from glasslipper.gateway.prices import overrides
from glasslipper.gateway.prices.tariff import Tariff
from glasslipper.gateway.providers import table
from glasslipper.gateway.providers.table import Provider
from glasslipper.gateway.vault import VARIABLE as MASTER_KEY
from glasslipper.kernel.errors import InvalidRequest

LOCAL = "local"
CUSTOM = "custom"
MOST_LETTERS = 200

_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9._-]{1,63})?")


class AddedModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that a user added: a GGUF file, or a model of a server.

    Several servers may serve one model if each has a `provider` name of its own. Prices are USD
    per million tokens, as text. No key stands here.

    Attributes:
        id: What clients ask for.
        path: The GGUF file.
        url: Where the server's API begins; may be left out where `speaks` has an address.
        upstream_model: What the server calls the model.
        speaks: The provider whose language the server speaks; without it OpenAI's.
        key_env: The variable that holds the server's key.
        byok: The id of the brought key that opens it, for those below the key's account.
        price_in: What prompt tokens cost.
        price_out: What answer tokens cost.
        prices: What other classes of usage cost, by their names.
        price_cases: When prices differ: for long prompts, at some hours, at some tier of service.
        context_tokens: How much fits into prompt and answer together.
        max_output_tokens: How long an answer can be.
        provider: The server's name in endpoints and records.
        quantization: How its weights are stored.
        zdr: It keeps no data.
        data_collection: Whether it may use data for more than the answer.
    """

    id: str
    path: str | None = None
    url: str | None = None
    upstream_model: str | None = None
    speaks: str | None = None
    key_env: str | None = None
    byok: str | None = None
    price_in: str | None = None
    price_out: str | None = None
    prices: Mapping[str, str] = field(default_factory=dict[str, str])
    price_cases: tuple[overrides.Case, ...] = ()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    provider: str = CUSTOM
    quantization: str = "unknown"
    zdr: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None

    @property
    def endpoint(self) -> str:
        """The id of its endpoint."""
        return f"{self.id}@{self.provider}"

    @property
    def place(self) -> str:
        """Where it is kept: one place for each provider of it."""
        return self.id if self.provider == CUSTOM else self.endpoint

    @property
    def learns_from_data(self) -> bool | None:
        """Whether data may be used for more than the answer; who keeps none cannot."""
        if self.data_collection is None:
            return False if self.zdr else None
        return self.data_collection == "allow"

    def check(self) -> None:
        """Make sure that it says what and where it is.

        Raises:
            InvalidRequest: It does not.
        """
        if (self.path is None) == (self.url is None and self.speaks is None):
            raise InvalidRequest("Say either the path of a GGUF file or the URL of a server.")
        if not 0 < len(self.id) <= MOST_LETTERS:
            raise InvalidRequest(f"A model's id has 1 to {MOST_LETTERS} letters.", param="$.id")
        if self.provider == LOCAL or not _PROVIDER_NAME.fullmatch(self.provider):
            raise InvalidRequest(
                "A provider's name has small letters, digits, dots and dashes, and is not `local`.",
                param="$.provider",
            )
        if self.key_env == MASTER_KEY:
            raise InvalidRequest("That key is never sent anywhere.", param="$.key_env")
        if self.path is None and not (self.url or self.server().base_url):
            raise InvalidRequest("Say the URL of the server.", param="$.url")

    def server(self) -> Provider:
        """Return the row of its server, with the name that the user gave it.

        Raises:
            InvalidRequest: There is no provider of whom it could speak the language.
        """
        row = table.provider(self.speaks or CUSTOM)
        if row is None:
            raise InvalidRequest(f"There is no provider {self.speaks!r}.", param="$.speaks")
        if self.provider in (CUSTOM, row.slug):
            return row
        return structs.replace(row, slug=self.provider, name=self.provider)

    def tariff(self, *, as_of: str) -> Tariff | None:
        """Return what the user says that it costs; `None` if nothing is said.

        Raises:
            SetupMissing: A price is no amount.
        """
        if self.price_in is None:
            return None
        rates = {**self.prices, "input": self.price_in, "output": self.price_out or "0"}
        tariff = overrides.tariffs({self.endpoint: rates}, as_of=as_of)[self.endpoint]
        if not self.price_cases:
            return tariff
        return overrides.with_cases(tariff, self.endpoint, self.price_cases)
