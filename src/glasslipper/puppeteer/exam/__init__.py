"""Tasks whose answers can be checked, to train and to judge on: generated, and real ones.

`draw` gives tasks in a fixed, mixed order, of which any beginning is a fair sample; those to
learn from and those to be judged on share neither a task nor a kind of function. Knows nothing
of models and of prompts.
"""

from __future__ import annotations

from glasslipper.puppeteer.exam.paper import draw
from glasslipper.puppeteer.exam.task import Kind, Split, Task

__all__ = ["Kind", "Split", "Task", "draw"]
