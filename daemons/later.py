"""Names of a part whose module is imported when they are first asked for.

A start of Python and its imports are most of a command's time: `cmux stop` sends its first signal after 50 ms instead
of 90, because it has not imported yet what only its report needs. A daemon has the time, and brings everything in
before its first cycle: later the checkout may have been updated under it, and half of it would be the new one's.

    if TYPE_CHECKING:
        from daemons.masking import mask
    else:
        __getattr__ = later.names(__name__, {"daemons.masking": ("mask",)})
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_awaited: dict[tuple[str, str], str] = {}


def names(part: str, of_modules: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of the package or module *part*: the names that it has of each module, once it is asked."""
    homes = {name: module for module, of_module in of_modules.items() for name in of_module}
    _awaited.update({(part, name): module for name, module in homes.items()})

    def bring(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {part!r} has no attribute {name!r}")
        return _bring(part, name, homes[name])

    return bring


def bring_all() -> None:
    """Import all that was left for later, in every part that is imported now or by that."""
    while _awaited:
        (part, name), module = next(iter(_awaited.items()))
        _bring(part, name, module)


def _bring(part: str, name: str, module: str) -> Any:
    value = getattr(importlib.import_module(module), name)
    # From now on Python finds it without asking us, and so do tests that put something in its place.
    setattr(sys.modules[part], name, value)
    _awaited.pop((part, name), None)
    return value
