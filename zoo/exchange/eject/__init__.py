"""``zoo eject``: a plan as one PyTorch file of ordinary classes, as a person would have written it. Floor 6.

::

    plan ─▶ instances ─▶ forms and constants ─▶ classes, their parameters solved ─▶ text

See :mod:`forms` for how instances are compared and :mod:`solving` for how constructor parameters are found.
"""

from zoo.exchange.eject.file import eject

__all__ = ["eject"]
