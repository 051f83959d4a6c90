"""Pretrained weights where there is no network: a cached file, or a word within seconds. Floor 2.

Hugging Face's client tries every file six times, and a name look-up may hang for a minute; a server that does not
answer one small question will not give the weights either.
"""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zoo.net import ANSWER_SECONDS, answer_to


@contextlib.contextmanager
def hub_in_reach() -> Iterator[None]:
    """Leaves Hugging Face's hub alone where it does not answer, so that only its cache is read.

    ``HF_ENDPOINT`` (a mirror), ``HF_HUB_OFFLINE`` and proxies count as they do for the hub's own client, which is
    asked. Raises OSError where the hub is away and the cache has no such file.
    """
    from huggingface_hub import constants, get_session

    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE or _answers(lambda: get_session().head(endpoint, timeout=ANSWER_SECONDS)):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    except OSError as error:
        raise OSError(f"{endpoint} cannot be reached, and the cache at {constants.HF_HUB_CACHE} has none") from error
    finally:
        constants.HF_HUB_OFFLINE = False


def require_reach(url: str) -> None:
    """Raises OSError where a file is neither in torch.hub's cache nor on a server that answers."""
    import torch

    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not cached.exists() and not _answers(lambda: _head(url)):
        raise OSError(f"{url} cannot be reached, and {cached} is not there")


def _head(url: str) -> None:
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, too: what it says is told when the file is asked for
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ANSWER_SECONDS).close()


def _answers(ask: Callable[[], Any]) -> bool:
    """Whether a question is answered in time."""
    try:
        answer_to(ask)
    except Exception:  # whatever it is, it is no answer
        return False
    return True
