"""The private method of TensorFlow Datasets that we replace. If a new TFDS breaks, look here.

Written against tensorflow-datasets 4.9.10. A builder makes its download manager itself, and there
is no public way to give it one.
"""

from collections.abc import Callable, Iterator
from typing import Any


def intercept_downloads(builder: Any, get: Callable[[list[str]], None]) -> None:
    """Have a builder's download manager call `get` with URLs before it deals with them itself.

    TFDS registers archives that are long gone, and those of all configurations: only what a builder
    asks its manager for is what it needs.
    """
    make = builder._make_download_manager

    def made(**arguments: Any) -> Any:
        manager = make(**arguments)
        for verb in ("download", "download_and_extract"):
            setattr(manager, verb, call_before(get, getattr(manager, verb)))
        return manager

    builder._make_download_manager = made


def call_before(
    get: Callable[[list[str]], None], verb: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    def call(url_or_urls: Any) -> Any:
        get(list(flatten_urls(url_or_urls)))
        return verb(url_or_urls)

    return call


def flatten_urls(urls: Any) -> Iterator[str]:
    """Yield every URL in nested lists and mappings of strings or TFDS' resources."""
    if isinstance(urls, dict | list | tuple):
        for part in urls.values() if isinstance(urls, dict) else urls:
            yield from flatten_urls(part)
    else:
        yield urls if isinstance(urls, str) else urls.url
