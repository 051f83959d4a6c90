"""Which images an epoch has, how often, and in what order: a function of (labels, seed, epoch). Floor 2; no torch.

An image may come several times. Each time it is a sample of its own, with draws of its own: of the split's N images,
image i is sample i when it comes for the first time in an epoch, and sample i + k N when it comes again for the k-th.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from zoo.data.dataset import Labels
from zoo.data.draws import Draws, Integers, permutation, stream_of

Kind = Literal["all", "balanced", "sqrt"]

# A class has the share of an epoch that its count to this power has of all of theirs: q in Kang et al. 2020,
# arXiv:1910.09217. The square root is Mahajan et al. 2018's.
_POWERS = {"balanced": 0.0, "sqrt": 0.5}
_ORDER, _WITHIN, _BETWEEN = stream_of("order"), stream_of("within classes"), stream_of("between classes")


@dataclass(frozen=True)
class Sampling:
    """The samples of a split's epochs: as many as there are images, N, whatever is drawn.

    ``kind``: every image, or classes ``balanced`` or by the square root of their counts. ``repeats``: each of N /
    ``repeats`` images so many times in a row (Hoffer et al. 2020; Berman et al. 2019), the last one fewer times where N
    is no multiple. A class's share is exact but for rounding, up or down by chance, and its images come equally often,
    or once more; which do is drawn anew for every epoch. Without ``shuffle`` every image comes, in its place.
    """

    labels: Labels
    seed: int
    shuffle: bool = True
    kind: Kind = "all"
    repeats: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether every image comes once: samples are images then."""
        return not self.shuffle or (self.kind == "all" and self.repeats == 1)

    @property
    def picks(self) -> int:
        """Images of an epoch, one that is picked twice counted twice."""
        return -(-len(self.labels) // self.repeats)

    def order(self, epoch: int) -> Integers:
        """The samples of an epoch (from 1) in their order (N)."""
        count = len(self.labels)
        if not self.shuffle:
            return np.arange(count, dtype=np.int64)
        if self.kind == "all":
            picked = permutation(count, self.seed, epoch, _ORDER)
            return picked if self.is_plain else self._repeated(picked[: self.picks])
        picked = self._picked(epoch)
        return self._repeated(picked[permutation(len(picked), self.seed, epoch, _ORDER)])

    def samples(self, epoch: int) -> Integers:
        """The samples of an epoch, ascending (N)."""
        return np.sort(self.order(epoch))

    def _repeated(self, picked: Integers) -> Integers:
        """Each of these, the k-th pick of an image in the place of its k-th sample, as often as it repeats."""
        # The last pick, which may be cut short, is the last one of its image: the times that it comes are 0, 1, 2 …
        same = np.flatnonzero(picked % len(self.labels) == picked[-1] % len(self.labels))
        ends = [same[picked[same].argmax()], len(picked) - 1]
        picked[ends] = picked[ends[::-1]]
        pick, image = np.divmod(picked, len(self.labels))
        occurrence = (pick * self.repeats)[:, None] + np.arange(self.repeats)
        return (occurrence * len(self.labels) + image[:, None]).reshape(-1)[: len(self.labels)]

    def _picked(self, epoch: int) -> Integers:
        """The images that an epoch picks, class by class; what is picked again counts as i + N, i + 2 N and so on."""
        quota = self._quotas(epoch)
        # By class, and within a class in an order of the epoch's own.
        images = permutation(len(self.labels), self.seed, epoch, _WITHIN)
        images = images[np.argsort(self.labels[images], kind="stable")]
        of = np.repeat(np.arange(len(quota)), quota)
        again, place = np.divmod(np.arange(len(of)) - (np.cumsum(quota) - quota)[of], self._counts[of])
        picked: Integers = images[(np.cumsum(self._counts) - self._counts)[of] + place] + again * len(self.labels)
        return picked

    def _quotas(self, epoch: int) -> Integers:
        """Picks of each class: its share, rounded up or down so that they add up, and on average are the share."""
        classes = permutation(len(self._counts), self.seed, epoch, _BETWEEN)
        (start,) = Draws(self.seed, epoch, np.zeros(1, dtype=np.int64), _BETWEEN).uniform()
        ends = np.cumsum(self._weights[classes])
        # Marks at whole numbers, along a line of all the shares that begins anywhere between two (systematic sampling).
        marks: Integers = np.floor(start + ends * self.picks / ends[-1]).astype(np.int64)
        marks = np.minimum(marks, self.picks)
        marks[ends == ends[-1]] = self.picks  # floating point may put it before the classes without images behind it
        quota: Integers = np.empty_like(marks)
        quota[classes] = np.diff(marks, prepend=0)
        return quota

    @cached_property
    def _counts(self) -> Integers:
        counts: Integers = np.bincount(self.labels).astype(np.int64)
        return counts

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        return np.where(self._counts > 0, self._counts.astype(np.float64) ** _POWERS[self.kind], 0.0)
