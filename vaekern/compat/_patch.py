"""Replacing names of other packages, and taking it back."""

from __future__ import annotations

import contextlib
import sys


class Patch(contextlib.ExitStack):
    """A replacement in effect: ``undo()``, or the end of a ``with`` block, takes it back.

    Process-wide. Of several, undo the latest first.
    """

    def undo(self) -> None:
        self.close()

    def rebind(self, old: object, new: object) -> None:
        """Puts ``new`` wherever a module holds ``old``, which ``from ... import`` copies. ``new``
        must be an object of this patch's own: undoing replaces it wherever it is found, for
        modules may be imported while the patch is in effect."""
        _rebind(old, new)
        self.callback(_rebind, new, old)

    def set_attribute(self, owner: object, name: str, new: object) -> None:
        if name in vars(owner):
            self.callback(setattr, owner, name, vars(owner)[name])
        else:  # inherited
            self.callback(delattr, owner, name)
        setattr(owner, name, new)


def _rebind(old: object, new: object) -> None:
    for module in list(sys.modules.values()):
        # not vars(): some entries are no modules
        namespace = getattr(module, "__dict__", {})
        for name, value in list(namespace.items()):
            if value is old:
                namespace[name] = new
