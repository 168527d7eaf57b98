"""Everybody who can run a model: this machine, the providers with a key, and what users added.

Puts their models on offer, with their prices, and keeps the list of added models in the state
file; knows the rules that another model answers a workload. Looks from time to time which model
servers run on this machine. Serves nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from glasslipper.gateway import discovery
from glasslipper.gateway.added import LOCAL, AddedModel
from glasslipper.gateway.endpoints import Endpoint, Offer
from glasslipper.gateway.keyring import Keyring
from glasslipper.gateway.local_price import local_price
from glasslipper.gateway.parameters import THINKING, TOOLS
from glasslipper.gateway.prices import catalogue
from glasslipper.gateway.prices.card import ModelCard
from glasslipper.gateway.prices.tariff import Tariff, Version
from glasslipper.gateway.pricing import LocalPricing, TariffPricing
from glasslipper.gateway.providers import table
from glasslipper.gateway.providers.connect import Connector, counter_of, embedder_of
from glasslipper.gateway.rerouting import Rerouting
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.gateway.vault import Vault
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import GlasslipperError, ModelUnknown, NoEndpointLeft, NotFound
from glasslipper.kernel.events import Event
from glasslipper.kernel.money import FREE
from glasslipper.kernel.ports import Attempted, Upstream
from glasslipper.kernel.record import PriceRow
from glasslipper.ledger.read import Accounts
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.models import forget_model, keep_model
from glasslipper.ledger.write.prices import remember
from glasslipper.local import MODELS, LocalModels, Offered

__all__ = ["AddedModel", "Suppliers"]

LOOK_EVERY_S = 60.0
CATCH_UP_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class _Unopened:
    """An endpoint's upstream before any key has opened it."""

    async def send(self, attempt: Attempted) -> AsyncIterator[Event]:
        raise NoEndpointLeft(
            f"{attempt.upstream_model} needs a key that nobody has brought, or that is disabled.",
            hint="Bring one with POST /api/v1/byok, or set the provider's variable.",
        )
        yield


_UNOPENED = _Unopened()


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
        timeouts = Timeouts(
            connect_s=settings.connect_timeout_s,
            first_byte_s=settings.first_byte_timeout_s,
            between_bytes_s=settings.between_bytes_timeout_s,
            total_s=settings.total_timeout_s,
        )
        self._connector = Connector(self._transport, timeouts, environ)
        self.vault = Vault(ledger.home, environ)
        self.keyring = Keyring(self.vault, self._connector)
        self.rerouting = Rerouting()
        self.own_port: int | None = None
        self._sizes: dict[str, int] = {}
        self._told: dict[str, AddedModel] = {}
        self._seen = ""
        self._catalogues: dict[str, catalogue.Catalogue] = {}
        self._today = iso(ledger.clock.now_ms())[:10]

    async def refresh(self) -> None:
        """Look again at what there is, other servers excepted."""
        accounts = Accounts(self._ledger.home)
        try:
            self._seen = accounts.offered_mark()
            added, keys = accounts.models(), accounts.provider_keys()
            self.rerouting.load(accounts.reroutes())
        finally:
            accounts.close()
        self.keyring.load(keys)
        self._offer_providers()
        told = {place: msgspec.json.decode(body, type=AddedModel) for place, body in added.items()}
        await self._forget(told)
        for place, model in told.items():
            try:
                self._offer_added(model)
            except GlasslipperError as error:
                _log.warning("%s is not offered: %s", place, error)
        if self._local is not None:
            for model in self._local.offered():
                if model.is_present:
                    self._offer_local(model)

    async def catch_up(self) -> bool:
        """Look again if another process has changed what is offered; tell whether it had."""
        accounts = Accounts(self._ledger.home)
        try:
            changed = accounts.offered_mark() != self._seen
        finally:
            accounts.close()
        if changed:
            await self.refresh()
        return changed

    async def _forget(self, told: Mapping[str, AddedModel]) -> None:
        """Offer no more what was added and is no longer told of."""
        gone = {place: model for place, model in self._told.items() if place not in told}
        self._told = dict(told)
        for model in gone.values():
            ends = {model.endpoint if model.path is None else f"{model.id}@{LOCAL}"}
            self.offer.discard(lambda end, ends=ends: end.id in ends)
            if model.path is not None and self._local is not None:
                with contextlib.suppress(ModelUnknown):
                    await self._local.remove(model.id)

    async def look_around(self) -> None:
        """Ask the model servers of this machine, and those named by the user, what they have."""
        found = await discovery.find(
            self._transport,
            self._environ,
            beyond_named=self._settings.discover,
            not_ports=() if self.own_port is None else (self.own_port,),
        )
        for server in found:
            if server.models is not None:
                self._offer_found(server, server.models)

    async def watch(self) -> None:
        """Look around every `LOOK_EVERY_S`, and more often at what others changed."""
        while True:
            try:
                await self.look_around()
            except GlasslipperError as error:
                _log.warning("looking for model servers failed: %s", error)
            for _ in range(int(LOOK_EVERY_S / CATCH_UP_EVERY_S)):
                await asyncio.sleep(CATCH_UP_EVERY_S)
                try:
                    await self.catch_up()
                except GlasslipperError as error:
                    _log.warning("reading what is offered failed: %s", error)

    async def add(self, model: AddedModel) -> None:
        """Offer a model from now on, also after a restart.

        Raises:
            InvalidRequest: It is not clear what or where it is.
            SetupMissing: A price is no amount.
        """
        model.check()
        self._offer_added(model)
        if self._local is not None and model.path is not None:
            await self.refresh()
        body = msgspec.json.encode(model).decode()
        now_ms = self._ledger.clock.now_ms()
        await self._ledger.change(lambda db: keep_model(db, model.place, body, now_ms))
        self._told[model.place] = model
        self._seen = ""  # another process may take it back before this one looks again

    async def remove(self, model: str) -> None:
        """Offer an added model no more, whichever servers of it were added.

        Raises:
            NotFound: Nobody added it.
        """
        accounts = Accounts(self._ledger.home)
        try:
            kept = [msgspec.json.decode(one, type=AddedModel) for one in accounts.models().values()]
        finally:
            accounts.close()
        meant = [added for added in kept if added.id == model]
        if not meant:
            raise NotFound(f"Nobody added a model {model!r}.")
        for added in meant:
            await self._ledger.change(partial(forget_model, model=added.place))
        gone = {f"{model}@{LOCAL}", *(added.endpoint for added in meant)}
        self.offer.discard(lambda end: end.id in gone)
        if self._local is not None:
            with contextlib.suppress(ModelUnknown):
                await self._local.remove(model)
        await self.refresh()

    def _remember(self, endpoint: str, row: PriceRow) -> None:
        now_ms = self._ledger.clock.now_ms()
        self._ledger.change_later(lambda db: remember(db, endpoint, row, now_ms))

    def _offer_providers(self) -> None:
        """Offer the catalogue of every provider with a key, the house's or a brought one."""
        brought = self.keyring.providers
        enabled = {row.slug for row in table.enabled(self._environ)}
        rows = [row for row in table.PROVIDERS if row.slug in enabled or row.slug in brought]
        self.offer.discard(
            lambda end: (
                end.byok == "must"
                and end.byok_id is None
                and not self.keyring.opens(end.provider, end.model)
            )
        )
        for row in rows:
            known = self._catalogue(row.slug).cards(row.slug)
            self._connector.note_limits(
                {one.upstream: one.max_output_tokens for one in known if one.max_output_tokens}
            )
            opened = None
            if row.slug in enabled:
                opened = self._connector.connect(row, key=row.key(self._environ))
            for card in known:
                self._offer_card(row, card, opened)

    def _catalogue(self, provider: str) -> catalogue.Catalogue:
        """Return the catalogue of a provider, read once."""
        if provider not in self._catalogues:
            self._catalogues[provider] = catalogue.load([provider])
        return self._catalogues[provider]

    def _offer_card(
        self, provider: table.Provider, card: ModelCard, opened: Upstream | None
    ) -> None:
        if card.retiring or not (opened or self.keyring.opens(provider.slug, card.id)):
            return
        endpoint = f"{card.id}@{provider.slug}"
        upstream = opened or _UNOPENED
        self.offer.add(
            Endpoint(
                id=endpoint,
                model=card.id,
                provider=provider.slug,
                upstream_model=card.upstream,
                upstream=upstream,
                embedder=embedder_of(upstream),
                count=counter_of(upstream, card.upstream),
                embeds_only=card.embeds,
                pricing=TariffPricing(endpoint, card.tariff, self._remember),
                name=card.name,
                context_tokens=card.context_tokens,
                max_output_tokens=card.max_output_tokens,
                inputs=card.inputs,
                outputs=card.outputs,
                created_s=card.released_s,
                key_id=provider.slug,
                lacks=provider.lacks | _lacks(card),
                dialect=provider.speaks,
                byok="may" if opened else "must",
            )
        )

    def _offer_added(self, model: AddedModel) -> None:
        if model.path is not None:
            if self._local is not None:
                path = Path(model.path)
                self._local.add(model.id, path)
                self._sizes[model.id] = path.stat().st_size
            return
        upstream = self._server_of(model)
        upstream_model = model.upstream_model or model.id
        card = None
        if model.speaks is not None:
            card = self._catalogue(model.speaks).find(model.speaks, upstream_model)
        tariff = model.tariff(as_of=self._today) or (card.tariff if card else None)
        self.offer.add(
            Endpoint(
                id=model.endpoint,
                model=model.id,
                provider=model.provider,
                upstream_model=upstream_model,
                upstream=upstream,
                embedder=embedder_of(upstream),
                count=counter_of(upstream, upstream_model),
                pricing=TariffPricing(model.endpoint, tariff, self._remember),
                embeds_only=card.embeds if card else False,
                name=card.name if card else "",
                context_tokens=model.context_tokens or (card.context_tokens if card else None),
                max_output_tokens=model.max_output_tokens
                or (card.max_output_tokens if card else None),
                inputs=card.inputs if card else None,
                outputs=card.outputs if card else None,
                lacks=model.server().lacks | _lacks(card) if card else model.server().lacks,
                dialect=model.server().speaks,
                key_id=f"{model.key_env} {model.url}" if model.key_env else "",
                quantization=model.quantization.lower(),
                keeps_data=None if model.zdr is None else not model.zdr,
                learns_from_data=model.learns_from_data,
                byok="never" if model.byok is None else "must",
                byok_id=model.byok,
            )
        )

    def _server_of(self, model: AddedModel) -> Upstream:
        """Return what calls an added model's server; a server of no kind gets no key unasked."""
        if model.byok is not None:
            return _UNOPENED
        row, key = model.server(), None
        if model.key_env:
            key = self._environ.get(model.key_env)
        elif model.url is None:
            key = row.key(self._environ)
        return self._connector.connect(row, key=key, base_url=model.url)

    def _offer_found(self, server: discovery.Found, models: Mapping[str, str]) -> None:
        """Offer what a server has, at no cost, and what it has no more no longer."""
        slug = server.provider.slug
        self.offer.discard(
            lambda end: end.source == "found" and end.provider == slug and end.model not in models
        )
        if not models:
            return
        upstream = self._connector.connect(
            server.provider, key=server.key, base_url=server.base_url
        )
        tariff = Tariff(versions=(Version(price=FREE),), source="local server", as_of=self._today)
        for model, name in models.items():
            endpoint = f"{model}@{slug}"
            self.offer.add(
                Endpoint(
                    id=endpoint,
                    model=model,
                    provider=slug,
                    upstream_model=name,
                    upstream=upstream,
                    embedder=embedder_of(upstream),
                    pricing=TariffPricing(endpoint, tariff, self._remember),
                    lacks=server.provider.lacks,
                    dialect=server.provider.speaks,
                    source="found",
                )
            )

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
                inputs=("text",),
                lacks=THINKING,
                is_local=True,
                count=None if embeds else partial(self._local.count_tokens, model_id=model.id),
            )
        )

    async def close(self) -> None:
        """Close the connections and stop the engines."""
        await self._transport.close()
        if self._local is not None:
            await self._local.close()


def _lacks(card: ModelCard) -> frozenset[str]:
    """Return the parameters that a model is known not to take."""
    lacks = set[str]()
    if card.tools is False:
        lacks |= TOOLS
    if card.structured_output is False:
        lacks.add("structured_outputs")
    if card.reasoning is False:
        lacks |= THINKING
    return frozenset(lacks)
