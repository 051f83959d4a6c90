"""The catalogue of ops and initialisers; filled, and torch imported, at the first use. Floor 2."""

from __future__ import annotations

from zoo.layers.initialiser import Initialiser
from zoo.layers.op import Op
from zoo.registry import Registry


def _fill_ops(registry: Registry[Op]) -> None:
    from zoo.layers.catalogue import OPS

    for op in OPS:
        registry.add(op.name, op)


def _fill_initialisers(registry: Registry[Initialiser]) -> None:
    from zoo.layers.initialising import INITIALISERS

    for initialiser in INITIALISERS:
        registry.add(initialiser.name, initialiser)


ops: Registry[Op] = Registry("op", _fill_ops)
initialisers: Registry[Initialiser] = Registry("initialiser", _fill_initialisers)

__all__ = ["Initialiser", "Op", "initialisers", "ops"]
