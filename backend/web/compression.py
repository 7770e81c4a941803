"""Public documents in gzip, for clients that take it.

Decision: only what is the same for everybody is compressed, view by view. Because where a secret and a text of somebody
else's choice are compressed together, the length of the answer tells the secret. Cost: answers of the API and pages are
sent as they are.
"""

import gzip
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from flask import Response, make_response, request

BYTES_MIN = 1_000  # fewer fit into one packet as they are
DOCUMENTS_MAX = 64
_TEXTS = frozenset({"application/javascript", "application/json", "image/svg+xml"})


def compressed(view: Callable[..., Any]) -> Callable[..., Response]:
    """Return `view`, which must answer the same to everybody, so that it answers in gzip where the client takes it."""

    @wraps(view)
    def answer(**path: Any) -> Response:
        response = make_response(view(**path))
        response.vary.add("Accept-Encoding")
        if response.status_code == 200 and _is_text(response) and request.accept_encodings.quality("gzip") > 0:
            _compress(response)
        return response

    return answer


def _is_text(response: Response) -> bool:
    mimetype = response.mimetype or ""
    return mimetype.startswith("text/") or mimetype in _TEXTS


def _compress(response: Response) -> None:
    response.direct_passthrough = False  # of a file, which is read here
    whole = response.get_data()
    if len(whole) < BYTES_MIN:
        return
    response.set_data(_packed(whole))
    response.content_encoding = "gzip"
    tag, _ = response.get_etag()
    if tag is not None:
        response.set_etag(tag, weak=True)  # a strong tag stands for the bytes of the plain document


@lru_cache(maxsize=DOCUMENTS_MAX)
def _packed(whole: bytes) -> bytes:
    return gzip.compress(whole, mtime=0)
