"""Which endpoint serves a request, which come after it, and why.

    route = router.plan(request, offered)          before: an order, and everybody's propensity
    router.report(endpoint, result, …)             after each attempt, when it has really ended
    router.left_after(error, …)                    between: who is worth another try

`wishes` and `variants` read what the client asked for, `health` and `breaker` know how endpoints
have been doing, `draw` turns both into probabilities, `affinity` keeps a session where its cache
is, `retry` says which failure may go where. Nothing here does I/O: time and chance are handed in.
"""

from glasslipper.gateway.routing.health import Plain, Result
from glasslipper.gateway.routing.route import Route
from glasslipper.gateway.routing.router import Router
from glasslipper.gateway.routing.toolcheck import FormFault, FormWatch, ToolWatch, judge
from glasslipper.gateway.routing.variants import choices, split_variant, with_thinking

__all__ = [
    "FormFault",
    "FormWatch",
    "Plain",
    "Result",
    "Route",
    "Router",
    "ToolWatch",
    "choices",
    "judge",
    "split_variant",
    "with_thinking",
]
