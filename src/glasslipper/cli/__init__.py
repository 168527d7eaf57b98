"""The command line: the one place that wires rooms together.

A command's module is loaded when the command is called, and the rooms that it needs only while
it runs, so that starting is cheap. Knows how commands end: an error is a sentence and a hint on
standard error with status 1, wrong usage has status 2, Ctrl-C 130 and silence.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from glasslipper import __version__
from glasslipper.cli import options
from glasslipper.cli.lazy import LazyGroup
from glasslipper.cli.output import print_failure
from glasslipper.cli.refusal import Refusal
from glasslipper.kernel.errors import GlasslipperError

__all__ = ["main", "run"]

INTERRUPTED = 130
BROKEN_PIPE = 141

COMMANDS = {
    "up": "glasslipper.cli.up:up",
    "ask": "glasslipper.cli.ask:ask",
    "models": "glasslipper.cli.models:models",
    "keys": "glasslipper.cli.keys:keys",
    "spend": "glasslipper.cli.spend:spend",
    "prices": "glasslipper.cli.prices:prices",
    "report": "glasslipper.cli.report:report",
    "route": "glasslipper.cli.route:route",
    "classify": "glasslipper.cli.classify:classify",
    "ledger": "glasslipper.cli.ledger:ledger",
    "puppeteer": "glasslipper.cli.puppeteer:puppeteer",
    "explain": "glasslipper.cli.explain:explain",
    "dsa": "glasslipper.cli.dsa:dsa",
    "import": "glasslipper.cli.importing:imports",
    "doctor": "glasslipper.cli.doctor:doctor",
}
"""Where each command is, in the order in which help shows them."""


@options.example("glasslipper up", 'glasslipper ask "Why is the sky blue?"')
@click.group(cls=LazyGroup, commands_at=COMMANDS)
@click.version_option(__version__, "-V", "--version", package_name="glasslipper")
def glasslipper() -> None:
    """One API for every model. It learns which one fits."""


def main() -> NoReturn:
    """Run the command line of this process and end with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its status; whatever goes wrong is told, not raised."""
    try:
        status: object = glasslipper.main(
            list(arguments), prog_name="glasslipper", standalone_mode=False
        )
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except click.ClickException as error:
        return _misused(error, as_json=_wants_json(arguments))
    except GlasslipperError as error:
        print_failure(error, as_json=_wants_json(arguments))
        return 1
    except OSError as error:
        return _refused_by_system(error, as_json=_wants_json(arguments))
    return status if isinstance(status, int) else 0


def _wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether `--json` was given, also where the rest could not be understood."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _misused(error: click.ClickException, *, as_json: bool) -> int:
    if not as_json:
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if isinstance(context, click.Context) else "glasslipper"
    told = Refusal(error.format_message(), code="usage", hint=f"Try `{command} --help`.")
    print_failure(told, as_json=True)
    return error.exit_code


def _reader_left() -> int:
    """End quietly: whoever read our output has closed it, and nothing can be flushed any more."""
    _forget_output()
    return BROKEN_PIPE


def _refused_by_system(error: OSError, *, as_json: bool) -> int:
    """Tell what the system said; what is left of our output cannot be written any more."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        _forget_output()
        told = Refusal(f"{error}.", code="disk_full", hint="Make room and try again.")
    else:
        told = Refusal(f"{error}.", code="system", hint="Check the path and who may write there.")
    print_failure(told, as_json=as_json)
    return 1


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
