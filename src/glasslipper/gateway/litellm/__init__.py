"""Reads the configuration of a LiteLLM proxy and says what of it can be offered here.

`document` reads the file without trusting it, `providers` knows whom its model names mean, `costs`
turns its prices into ours, and `plan` puts all together. Nothing here is offered, kept or sent.
"""

from glasslipper.gateway.litellm.plan import Hidden, Note, Plan, Planned, plan

__all__ = ["Hidden", "Note", "Plan", "Planned", "plan"]
