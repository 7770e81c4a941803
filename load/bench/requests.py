"""The requests that clients send, but for the ids in them."""

from load.bench.generator import Request

ID_LENGTH = 36


def one_by_one(path: str, token: str | None = None) -> Request:
    """`POST <path>/<order>/fulfill` for each order, signed in with `token`."""
    return Request(head=f"POST {path}/", tail=f"/fulfill HTTP/1.1\r\n{_header(token, 0)}")


def in_rounds(path: str, size: int, token: str) -> Request:
    """`POST <path>` with `size` orders in the body, signed in with `token`."""
    opening, separator, closing = '{"order_ids":["', '","', '"]}'
    length = len(opening) + size * ID_LENGTH + (size - 1) * len(separator) + len(closing)
    return Request(f"POST {path} HTTP/1.1\r\n{_header(token, length)}{opening}", closing, size, separator)


def reading(path: str, token: str, mark: str) -> Request:
    """`GET <path>` with a value at its end, signed in with `token`; every right answer holds `mark` once."""
    return Request(f"GET {path}", f" HTTP/1.1\r\n{_header(token, 0)}", mark=mark)


def _header(token: str | None, length: int) -> str:
    """The lines after the first, and the empty one, of a request with a body of `length` bytes."""
    lines = ["Host: bench", "Accept: application/json", "Connection: close", f"Content-Length: {length}"]
    if length:
        lines.append("Content-Type: application/json")
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "".join(f"{line}\r\n" for line in lines) + "\r\n"
