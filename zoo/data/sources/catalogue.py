"""The registry of data sources. Floor 2."""

from __future__ import annotations

from zoo.data.sources.source import Known, Source, SourceArguments
from zoo.registry import Registry

__all__ = ["Known", "Source", "SourceArguments", "sources"]


def _load(registry: Registry[Source]) -> None:
    from zoo.data.sources import cifar, digits, folders, mnist, parquet, synthetic, webdataset

    own = (folders.SOURCE, parquet.SOURCE, webdataset.SOURCE, synthetic.SOURCE)
    for source in (digits.SOURCE, cifar.CIFAR10, cifar.CIFAR100, mnist.MNIST, mnist.FASHION_MNIST, *own):
        registry.add(source.name, source)


sources: Registry[Source] = Registry("data source", _load)
