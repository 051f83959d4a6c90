"""Random numbers that need no generator: each is a pure function of (seed, epoch, sample, stream, counter).

So a sample's augmentation is the same whatever batch, worker or order it comes in, and a resumed run draws what the
uninterrupted one would have drawn. The mixing function is SplitMix64's finaliser (Steele, Lea, Flood: Fast Splittable
Pseudorandom Number Generators, OOPSLA 2014), vectorised over samples in uint64 arithmetic. Floor 2; no torch.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / the golden ratio: SplitMix64's increment
_MASK = (1 << 64) - 1


def hash_words(*parts: int) -> int:
    """One 64-bit word made from several whole numbers; every part counts, and so does their order."""
    word = 0
    for part in parts:
        word = _finalise_int((word + _GOLDEN) & _MASK ^ (part & _MASK))
    return word


def _finalise_int(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def _finalise(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def stream_of(name: str) -> int:
    """The stream that bears a name: a number that stays the same on every machine."""
    return zlib.crc32(name.encode())


class Draws:
    """Draws for some samples in one epoch: each call gives every sample its next number.

    ``indices`` are those of the images (n); ``stream`` keeps the draws of one transform apart from those of another.
    ``occurrences`` (n): how often each image came in the epoch before; None where every image comes once.
    """

    def __init__(
        self, seed: int, epoch: int, indices: Integers, stream: int, occurrences: Integers | None = None
    ) -> None:
        self.seed, self.epoch, self.indices, self.stream, self.occurrences = seed, epoch, indices, stream, occurrences
        key = np.uint64(hash_words(seed, epoch, stream))
        self._state = _finalise(_finalise(indices.astype(np.uint64) * np.uint64(_GOLDEN) + key) ^ key)
        if occurrences is not None:  # the first leaves the state as it is
            self._state = self._state ^ _finalise(occurrences.astype(np.uint64) * np.uint64(_GOLDEN))
        self._counter = 0

    def __len__(self) -> int:
        return len(self.indices)

    def for_all_epochs(self) -> Draws:
        """The draws of the same images and stream that depend neither on the epoch nor on how often they came in it."""
        return Draws(self.seed, 0, self.indices, self.stream)

    def within(self, stream: int) -> Draws:
        """Draws of the same samples and epoch apart from these: a stream of its own inside this one's."""
        return Draws(self.seed, self.epoch, self.indices, hash_words(self.stream, stream), self.occurrences)

    def words(self) -> Words:
        """The next 64 random bits of every sample (n)."""
        self._counter += 1
        return _finalise(self._state + np.uint64((self._counter * _GOLDEN) & _MASK))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Floats:
        """Real numbers in [low, high) (n)."""
        unit: Floats = (self.words() >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + unit * (high - low)

    def integers(self, low: int | Integers, high: int | Integers) -> Integers:
        """Whole numbers from low to high, both included; bounds may differ by sample (n)."""
        count = np.asarray(high, dtype=np.int64) - np.asarray(low, dtype=np.int64) + 1
        return np.asarray(low, dtype=np.int64) + np.floor(self.uniform() * count).astype(np.int64)

    def happens(self, probability: float) -> npt.NDArray[np.bool_]:
        """Whether each sample's coin, which falls on its head with this probability, does (n)."""
        return self.uniform() < probability

    def weighted(self, weights: Sequence[float]) -> Integers:
        """Places in a list of weights, each as often as its share of them all says (n); of one, nothing is drawn."""
        if len(weights) == 1:
            return np.zeros(len(self), dtype=np.int64)
        sums = np.cumsum(weights)
        return np.searchsorted(sums[:-1] / sums[-1], self.uniform(), side="right").astype(np.int64)

    def beta(self, alpha: float | Floats) -> Floats:
        """Numbers in [0, 1] from Beta(alpha, alpha), by the inverse of its distribution function (n).

        ``alpha`` may differ by sample.
        """
        from scipy.special import betaincinv

        values: Floats = betaincinv(alpha, alpha, self.uniform())
        return values


def permutation(count: int, *key: int) -> Integers:
    """The numbers from 0 to count - 1 in an order that is a pure function of the key."""
    words = Draws(hash_words(*key), 0, np.arange(count, dtype=np.int64), stream_of("permutation")).words()
    return np.argsort(words, kind="stable").astype(np.int64)
