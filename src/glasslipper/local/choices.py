"""How tokens are chosen: the request's sampling as the engine is told it, every value checked.

A request that names a seed wants the same answer again, so its prompt is worked on afresh:
reusing another's work changes the last bits of the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import Request, Sampling
from glasslipper.local.constrain import Constraint

_MOST_STOPS = 16
_MOST_STOP_CHARACTERS = 1024
_MOST_BIASES = 1024
_MOST_TOP_LOGPROBS = 20
_SEEDS = 2**32 - 1  # the last one means a random seed to the runtime

_RANGES = {
    "max_tokens": (1, 2**31 - 1),
    "temperature": (0, 10),
    "top_p": (0, 1),
    "top_k": (0, 2**31 - 1),
    "min_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "repetition_penalty": (0, 2),
    "top_logprobs": (0, _MOST_TOP_LOGPROBS),
}
_DRAWING = {"temperature", "top_p", "top_k", "min_p"}


def choices(
    request: Request, constraint: Constraint, *, usual: Sampling | None = None
) -> dict[str, object]:
    """Return the sampling for the engine.

    `usual` is what the model's makers recommend; it counts unless the request says how tokens
    are to be drawn.

    Raises:
        InvalidRequest: A value is out of range.
        Unsupported: More than one answer is asked for.
    """
    sampling = request.sampling
    _check(sampling)
    _check_single(request)
    chosen: dict[str, object] = {
        name: value for name in _RANGES if (value := getattr(sampling, name)) is not None
    }
    chosen.pop("top_logprobs", None)
    if usual is not None and not chosen.keys() & _DRAWING:
        chosen |= {name: value for name in _DRAWING if (value := getattr(usual, name)) is not None}
    if sampling.seed is not None:
        chosen["seed"] = sampling.seed % _SEEDS
    if sampling.stop:
        chosen["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        chosen["logit_bias"] = _biases(sampling.logit_bias)
    if sampling.logprobs:
        chosen["top_logprobs"] = sampling.top_logprobs or 0
    if constraint.grammar is not None:
        chosen["grammar"] = constraint.grammar
        chosen["grammar_param"] = constraint.param
    chosen["reuse_prompt"] = sampling.seed is None
    return chosen


def _check(sampling: Sampling) -> None:
    for name, (least, most) in _RANGES.items():
        value: float | None = getattr(sampling, name)
        if value is not None and not least <= value <= most:
            raise InvalidRequest(
                f"`{name}` must be between {least} and {most}, not {value}.", param=f"$.{name}"
            )
    too_long = any(not 0 < len(stop) <= _MOST_STOP_CHARACTERS for stop in sampling.stop)
    if len(sampling.stop) > _MOST_STOPS or too_long:
        raise InvalidRequest(
            f"`stop` takes up to {_MOST_STOPS} texts of 1 to {_MOST_STOP_CHARACTERS} characters.",
            param="$.stop",
        )


def _check_single(request: Request) -> None:
    for name in ("n", "best_of"):
        raw = request.extra.get(name)
        if raw is not None and bytes(raw).strip() not in (b"1", b"null"):
            raise Unsupported("Local models give one answer at a time.", param=f"$.{name}")


def _biases(biases: Mapping[str, float]) -> dict[str, float]:
    if len(biases) > _MOST_BIASES:
        raise InvalidRequest(f"`logit_bias` takes up to {_MOST_BIASES}.", param="$.logit_bias")
    for token, bias in biases.items():
        if not (token.isascii() and token.isdigit()) or not -100 <= bias <= 100:
            raise InvalidRequest(
                "`logit_bias` maps token ids to numbers between -100 and 100.",
                param="$.logit_bias",
            )
    return dict(biases)
