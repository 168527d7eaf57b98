"""The short way of plain chat requests: no task, no scope, nothing waited for.

Most requests are nothing but words and tools, asked of a provider that speaks the same dialect,
over a connection that rests. They are served by the callbacks of the two connections, and where
records must survive the power, by those of the journal:

dispatch    who takes the short way
lane        what is the same for every plain request of one client for one model
template    bytes in which only a few numbers and words change, made from what usually writes them
records     an intent and a generation, as such bytes
errand      one request, from its intent to its record and its answer
stream      the same, answered in a stream
frames      the frames of a stream, told apart by their edges
told        what a stream has told so far, for its record or for an exchange that takes over

Whatever is unusual takes the usual way: before anything is asked of anybody the whole request,
afterwards the exchange with what it met. So nothing here retries, explains or translates; and
what is recorded, held and charged is the same on both ways.
"""

from glasslipper.gateway.express.dispatch import Express

__all__ = ["Express"]
