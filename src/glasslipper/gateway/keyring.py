"""Whose keys open which endpoints: the providers' keys that accounts brought along, when needed.

An endpoint serves a caller with the key of the nearest account above the caller that has one for
its provider; nearer beats farther, older beats younger. A key is only ever sent to its own base
URL or to its provider's usual address, never where somebody else says. Where no account has
brought any key, `is_empty` is all that a request looks at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from msgspec import structs

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.providers import table
from glasslipper.gateway.providers.connect import Connector, counter_of, embedder_of
from glasslipper.gateway.routing import Route
from glasslipper.gateway.vault import Vault
from glasslipper.kernel.errors import ModelUnknown
from glasslipper.kernel.ports import Upstream
from glasslipper.kernel.record import Account
from glasslipper.ledger.read import ProviderKey

MOST_CONNECTED = 1_000
"""Keys that stay opened; beyond that the one used least lately is closed."""


def place_of(key: ProviderKey) -> str:
    """Return what a key's seal is bound to."""
    return place(key.id, key.provider)


def place(key_id: str, provider: str) -> str:
    """Return what the seal of a provider's key is bound to."""
    return f"byok {key_id} {provider}"


def own_keys_first(route: Route) -> Route:
    """Return the route with the endpoints that the caller's own keys open before all others."""
    own = {endpoint.id for endpoint in route.order if endpoint.is_byok}
    if not own or len(own) == len(route.order):
        return route
    total = sum(one.propensity for one in route.candidates if one.endpoint in own)
    return structs.replace(
        route,
        order=tuple(sorted(route.order, key=lambda endpoint: not endpoint.is_byok)),
        candidates=tuple(
            structs.replace(one, propensity=one.propensity / total if total else 1 / len(own))
            if one.endpoint in own
            else structs.replace(one, propensity=0.0, why="only after your own key")
            for one in route.candidates
        ),
    )


class Keyring:
    """The keys that are not disabled, by account and provider."""

    def __init__(self, vault: Vault, connector: Connector) -> None:
        """Open keys with the vault when they are first used."""
        self.is_empty = True
        self._vault = vault
        self._connector = connector
        self._by_id: dict[str, ProviderKey] = {}
        self._by_account: dict[tuple[str, str], list[ProviderKey]] = {}
        self._opened: dict[str, frozenset[str] | None] = {}
        self._connected: OrderedDict[str, Upstream] = OrderedDict()

    def load(self, keys: Iterable[ProviderKey]) -> None:
        """Know these keys, and no others; the oldest come first."""
        self._by_id = {key.id: key for key in keys if not key.disabled}
        self._by_account = {}
        for key in self._by_id.values():
            self._by_account.setdefault((key.account, key.provider), []).append(key)
        self._opened = {}
        for key in self._by_id.values():
            known = self._opened.setdefault(key.provider, frozenset())
            if known is None or key.allowed_models is None:
                self._opened[key.provider] = None
            else:
                self._opened[key.provider] = known | set(key.allowed_models)
        self._connected.clear()
        self.is_empty = not self._by_id

    @property
    def providers(self) -> frozenset[str]:
        """The slugs of the providers that there is any key of."""
        return frozenset(self._opened)

    def opens(self, provider: str, model: str) -> bool:
        """Tell whether anybody's key may be used for a model of a provider."""
        models = self._opened.get(provider, frozenset())
        return models is None or model in models

    def equip(self, offered: Sequence[Endpoint], account: Account) -> Sequence[Endpoint]:
        """Return the endpoints as they serve an account: with its own keys where it has any.

        Raises:
            ModelUnknown: All of them need a key of the caller's own, and it has none.
            SetupMissing: The master key that sealed a key is not here.
        """
        equipped = [self._equip(endpoint, account) for endpoint in offered]
        usable = [endpoint for endpoint in equipped if endpoint is not None]
        if not usable:
            first = offered[0]
            raise ModelUnknown(
                f"Nobody above this key has a key of {first.provider} for {first.model}.",
                hint="Bring one with POST /api/v1/byok, or set the provider's variable.",
                param="$.model",
            )
        return usable

    def lets_in(self, endpoint: Endpoint, account: Account) -> bool:
        """Tell whether an endpoint serves an account, with the house's key or its own."""
        return endpoint.byok != "must" or self._find(endpoint, account) is not None

    def _equip(self, endpoint: Endpoint, account: Account) -> Endpoint | None:
        if endpoint.is_byok or endpoint.byok == "never":
            return endpoint
        key = self._find(endpoint, account)
        if key is None:
            return None if endpoint.byok == "must" else endpoint
        upstream = self._connect(key, endpoint)
        return structs.replace(
            endpoint,
            id=f"{endpoint.id}#{key.id}",
            upstream=upstream,
            embedder=embedder_of(upstream),
            count=counter_of(upstream, endpoint.upstream_model),
            key_id=key.id,
            is_byok=True,
            uncharged=not key.counts,
        )

    def _find(self, endpoint: Endpoint, account: Account) -> ProviderKey | None:
        if endpoint.byok_id is not None:
            pinned = self._by_id.get(endpoint.byok_id)
            return pinned if pinned is not None and pinned.account in account.path else None
        for owner in account.path:
            for key in self._by_account.get((owner, endpoint.provider), ()):
                if key.allowed_models is None or endpoint.model in key.allowed_models:
                    return key
        return None

    def _connect(self, key: ProviderKey, endpoint: Endpoint) -> Upstream:
        known = self._connected.get(key.id)
        if known is not None:
            self._connected.move_to_end(key.id)
            return known
        provider = table.provider(key.provider)
        if provider is None:
            raise ModelUnknown(f"{endpoint.model} is at an unknown provider, {key.provider}.")
        upstream = self._connector.connect(
            provider, key=self._vault.open(key.sealed, place=place_of(key)), base_url=key.base_url
        )
        self._connected[key.id] = upstream
        if len(self._connected) > MOST_CONNECTED:
            self._connected.popitem(last=False)
        return upstream
