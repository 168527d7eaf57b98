"""Everybody who can run a model: this machine, the providers with a key, and what users added.

Puts their models on offer, with their prices, and keeps the list of added models in the state
file. Serves nothing itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, structs

from glasslipper.gateway.endpoints import Endpoint, Offer
from glasslipper.gateway.local_price import local_price
from glasslipper.gateway.prices import catalogue, overrides
from glasslipper.gateway.prices.card import ModelCard
from glasslipper.gateway.prices.tariff import Tariff
from glasslipper.gateway.pricing import LocalPricing, TariffPricing
from glasslipper.gateway.providers import table
from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import InvalidRequest, ModelUnknown, NotFound
from glasslipper.kernel.record import PriceRow
from glasslipper.ledger.read import Accounts
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.models import forget_model, keep_model
from glasslipper.ledger.write.prices import remember
from glasslipper.local import MODELS, LocalModels, Offered

LOCAL = "local"
CUSTOM = "custom"

_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9._-]{1,63})?")

_log = logging.getLogger(__name__)


class AddedModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that a user added: a GGUF file, or a model of a server that speaks OpenAI's API.

    Prices are USD per million tokens, as text. The server's key stays in the environment, in the
    variable `key_env`. Several servers may serve one model if each has a `provider` name of its
    own. `zdr` and `data_collection` say what the server does with data, in OpenRouter's words.
    """

    id: str
    path: str | None = None
    url: str | None = None
    upstream_model: str | None = None
    key_env: str | None = None
    price_in: str | None = None
    price_out: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    provider: str = CUSTOM
    quantization: str = "unknown"
    zdr: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None


class Suppliers:
    """Puts models on offer, and takes them off."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        local: LocalModels | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Offer what `local` runs, what the environment has keys for, and what users added."""
        self.offer = Offer()
        self._settings = settings
        self._ledger = ledger
        self._local = local
        self._environ = environ
        self._transport = Transport()
        self._timeouts = Timeouts(
            connect_s=settings.connect_timeout_s,
            first_byte_s=settings.first_byte_timeout_s,
            between_bytes_s=settings.between_bytes_timeout_s,
            total_s=settings.total_timeout_s,
        )
        self._sizes: dict[str, int] = {}
        self._today = iso(ledger.clock.now_ms())[:10]

    async def refresh(self) -> None:
        """Look again at what there is."""
        self._offer_providers()
        for name, body in self._kept().items():
            try:
                self._offer_added(msgspec.json.decode(body, type=AddedModel))
            except InvalidRequest as error:
                _log.warning("%s is not offered: %s", name, error)
        if self._local is not None:
            for model in self._local.offered():
                if model.is_present:
                    self._offer_local(model)

    def _kept(self) -> Mapping[str, bytes]:
        accounts = Accounts(self._ledger.home)
        try:
            return accounts.models()
        finally:
            accounts.close()

    async def add(self, model: AddedModel) -> None:
        """Offer a model from now on, also after a restart.

        Raises:
            InvalidRequest: It is not clear what or where it is.
        """
        if (model.path is None) == (model.url is None):
            raise InvalidRequest("Say either the path of a GGUF file or the URL of a server.")
        if not model.id or len(model.id) > 200:
            raise InvalidRequest("A model's id has 1 to 200 letters.", param="$.id")
        if model.provider == LOCAL or not _PROVIDER_NAME.fullmatch(model.provider):
            raise InvalidRequest(
                "A provider's name has small letters, digits, dots and dashes, and is not `local`.",
                param="$.provider",
            )
        self._offer_added(model)
        if self._local is not None and model.path is not None:
            await self.refresh()
        body = msgspec.json.encode(model).decode()
        now_ms = self._ledger.clock.now_ms()
        await self._ledger.change(lambda db: keep_model(db, _place(model), body, now_ms))

    async def remove(self, model: str) -> None:
        """Offer an added model no more.

        Raises:
            NotFound: Nobody added it.
        """
        places = {
            name: added
            for name, body in self._kept().items()
            if (added := msgspec.json.decode(body, type=AddedModel)).id == model
        }
        if not places:
            raise NotFound(f"Nobody added a model {model!r}.")
        for place, added in places.items():
            await self._ledger.change(partial(forget_model, model=place))
            self.offer.remove(model, added.provider)
        self.offer.remove(model, LOCAL)
        if self._local is not None:
            with contextlib.suppress(ModelUnknown):
                await self._local.remove(model)

    def _remember(self, endpoint: str, row: PriceRow) -> None:
        now_ms = self._ledger.clock.now_ms()
        self._ledger.change_later(lambda db: remember(db, endpoint, row, now_ms))

    def _offer_providers(self) -> None:
        enabled = table.enabled(self._environ)
        cards = catalogue.load([provider.slug for provider in enabled]) if enabled else None
        for provider in enabled:
            upstream = OpenAICompatible(
                self._transport,
                provider,
                key=provider.key(self._environ),
                base_url=provider.address(self._environ),
                timeouts=self._timeouts,
            )
            for card in cards.cards(provider.slug) if cards else ():
                self._offer_card(provider, card, upstream)

    def _offer_card(
        self, provider: table.Provider, card: ModelCard, upstream: OpenAICompatible
    ) -> None:
        if card.retiring:
            return
        endpoint = f"{card.id}@{provider.slug}"
        self.offer.add(
            Endpoint(
                id=endpoint,
                model=card.id,
                provider=provider.slug,
                upstream_model=card.upstream,
                upstream=upstream,
                embedder=upstream,
                embeds_only=card.embeds,
                pricing=TariffPricing(endpoint, card.tariff, self._remember),
                name=card.name,
                context_tokens=card.context_tokens,
                max_output_tokens=card.max_output_tokens,
                created_s=card.released_s,
                key_id=provider.slug,
                lacks=_lacks(card),
            )
        )

    def _offer_added(self, model: AddedModel) -> None:
        if model.path is not None:
            if self._local is not None:
                path = Path(model.path)
                self._local.add(model.id, path)
                self._sizes[model.id] = path.stat().st_size
            return
        row = table.provider(CUSTOM)
        if row is None:
            return
        name = row.name if model.provider == CUSTOM else model.provider
        provider = structs.replace(row, slug=model.provider, name=name)
        upstream = OpenAICompatible(
            self._transport,
            provider,
            key=self._environ.get(model.key_env) if model.key_env else None,
            base_url=model.url,
            timeouts=self._timeouts,
        )
        endpoint = f"{model.id}@{provider.slug}"
        self.offer.add(
            Endpoint(
                id=endpoint,
                model=model.id,
                provider=provider.slug,
                upstream_model=model.upstream_model or model.id,
                upstream=upstream,
                embedder=upstream,
                pricing=TariffPricing(endpoint, self._stated(endpoint, model), self._remember),
                context_tokens=model.context_tokens,
                max_output_tokens=model.max_output_tokens,
                key_id=f"{model.key_env} {model.url}" if model.key_env else "",
                quantization=model.quantization.lower(),
                keeps_data=None if model.zdr is None else not model.zdr,
                learns_from_data=_learns(model),
            )
        )

    def _stated(self, endpoint: str, model: AddedModel) -> Tariff | None:
        if model.price_in is None:
            return None
        rates = {"input": model.price_in, "output": model.price_out or "0"}
        return overrides.tariffs({endpoint: rates}, as_of=self._today)[endpoint]

    def _offer_local(self, model: Offered) -> None:
        if self._local is None:
            return
        endpoint = f"{model.id}@{LOCAL}"
        known = MODELS.get(model.id)
        price = local_price(
            self._settings.cpu_hour_usd,
            prompt_tokens_per_cpu_s=known.prompt_tokens_per_cpu_s if known else None,
            output_tokens_per_cpu_s=known.output_tokens_per_cpu_s if known else None,
            size_bytes=sum(file.size_bytes for file in known.files)
            if known
            else self._sizes.get(model.id, 0),
        )
        embeds = model.kind == "embeddings"
        self.offer.add(
            Endpoint(
                id=endpoint,
                model=model.id,
                provider=LOCAL,
                upstream_model=model.id,
                upstream=self._local,
                embedder=self._local if embeds else None,
                embeds_only=embeds,
                pricing=LocalPricing(endpoint, price, as_of=self._today, remember=self._remember),
                name=model.family,
                context_tokens=model.context_tokens,
                is_local=True,
                count=None if embeds else partial(self._local.count_tokens, model_id=model.id),
            )
        )

    async def close(self) -> None:
        """Close the connections and stop the engines."""
        await self._transport.close()
        if self._local is not None:
            await self._local.close()


def _place(model: AddedModel) -> str:
    """Return where an added model is kept: one place for each provider of it."""
    return model.id if model.provider == CUSTOM else f"{model.id}@{model.provider}"


def _learns(model: AddedModel) -> bool | None:
    """Tell whether data may be used for more than the answer; who keeps none cannot."""
    if model.data_collection is None:
        return False if model.zdr else None
    return model.data_collection == "allow"


def _lacks(card: ModelCard) -> frozenset[str]:
    """Return the parameters that a model is known not to take."""
    lacks = set[str]()
    if card.tools is False:
        lacks |= {"tools", "tool_choice", "parallel_tool_calls"}
    if card.structured_output is False:
        lacks.add("structured_outputs")
    if card.reasoning is False:
        lacks.add("reasoning")
    return frozenset(lacks)
