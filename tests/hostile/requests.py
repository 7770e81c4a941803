"""Hostile requests: a name, what is sent, and which status is the answer (CLOSED: none, the connection ends).

Each is signed in as an admin who could change something, and none does.
"""

import gzip
from collections.abc import Callable

from tests.hostile.talking import CLOSED, chunked, request

WARDS = "/api/v1/wards"
FORM = "application/x-www-form-urlencoded"
OK, WRONG, LOST, METHOD, LARGE, KIND, INVALID = 200, 400, 404, 405, 413, 415, 422
ADDRESS, HEAD = 414, 431  # too long
STRANGE = 501  # a way to send a body that gunicorn does not know
Hostile = dict[str, tuple[Callable[[str], bytes], int]]


def _ward(body: bytes, *headers: str | bytes, **options: object) -> Callable[[str], bytes]:
    return lambda token: request("POST", WARDS, *headers, body=body, token=token, **options)  # type: ignore[arg-type]


def _get(target: str | bytes, *headers: str | bytes, **options: object) -> Callable[[str], bytes]:
    return lambda token: request("GET", target, *headers, token=token, **options)  # type: ignore[arg-type]


def _named(value: bytes) -> bytes:
    return b'{"name": %b}' % value


_ZIPPED = gzip.compress(b" " * 50_000_000)
_DIGITS = b"9" * 100_000

JSON: Hostile = {
    "lists 100,000 deep": (_ward(b"[" * 100_000 + b"]" * 100_000), WRONG),
    "objects 100,000 deep": (_ward(b'{"name":' * 100_000 + b"1" + b"}" * 100_000), WRONG),
    "lists 500 deep as a value": (_ward(_named(b"[" * 500 + b"]" * 500)), INVALID),
    "an integer of 100,000 digits": (_ward(_named(_DIGITS)), WRONG),
    "a fraction of 100,000 digits": (_ward(_named(b"0." + _DIGITS)), INVALID),
    "an exponent of 100,000 digits": (_ward(_named(b"1e" + _DIGITS)), WRONG),
    "1e999": (_ward(_named(b"1e999")), WRONG),
    "NaN": (_ward(_named(b"NaN")), WRONG),
    "-Infinity": (_ward(_named(b"-Infinity")), WRONG),
    "NUL in a string, escaped": (_ward(_named(rb'"a\u0000b"')), INVALID),
    "NUL in a string, raw": (_ward(_named(b'"a\0b"')), WRONG),
    "NUL as a name": (_ward(rb'{"\u0000": 1}'), INVALID),
    "half a surrogate pair": (_ward(_named(rb'"\ud800"')), WRONG),
    "the halves the wrong way round": (_ward(_named(rb'"\udc00\ud800"')), WRONG),
    "a surrogate in UTF-8": (_ward(_named(b'"\xed\xa0\x80"')), WRONG),
    "overlong UTF-8": (_ward(_named(b'"\xc0\xaf"')), WRONG),
    "overlong NUL": (_ward(_named(b'"\xc0\x80"')), WRONG),
    "beyond Unicode": (_ward(_named(b'"\xf4\x90\x80\x80"')), WRONG),
    "UTF-8 that breaks off": (_ward(_named(b'"\xe2\x82"')), WRONG),
    "UTF-16": (_ward('{"name": "x"}'.encode("utf-16")), WRONG),
    "UTF-16, told so": (_ward('{"name": "x"}'.encode("utf-16"), kind="application/json; charset=utf-16"), WRONG),
    "UTF-7, told so": (_ward(b'{"name": "+AGE-\\q"}', kind="application/json; charset=utf-7"), WRONG),
    "a name twice, the last one wrong": (_ward(b'{"name": "x", "name": 5}'), INVALID),
    "a name a million times": (_ward(b"{" + b",".join([b'"a":1'] * 100_000) + b"}"), INVALID),
    "50,000 names": (_ward(b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}"), INVALID),
    "__proto__": (_ward(b'{"name": "x", "__proto__": {"kind": "pharmacy"}}'), INVALID),
}
KINDS: Hostile = {
    "no Content-Type": (_ward(_named(b'"x"'), kind=""), KIND),
    "a form": (_ward(b"name=x", kind=FORM), KIND),
    "a form that says JSON": (_ward(b"name=x"), WRONG),
    "two Content-Types": (_ward(_named(b"5"), "Content-Type: text/plain"), WRONG),
    "a Content-Type of 8,000 bytes": (_ward(_named(b'"x"'), kind="a" * 8_000), KIND),
    "gzip, told so": (_ward(gzip.compress(_named(b'"x"')), "Content-Encoding: gzip"), WRONG),
    "50 MB in 50 KB": (_ward(_ZIPPED, "Content-Encoding: gzip"), WRONG),
    "a multipart without end": (_ward(b"--x\r\nContent-Disposition: form-data", kind="multipart/form-data"), KIND),
    "an upload to a page": (
        lambda t: request("POST", "/sign-in", body=b"--x\r\n" * 9, kind="multipart/form-data"),
        WRONG,
    ),
}
LENGTHS: Hostile = {
    "one byte above the limit": (_ward(b" " * 1_048_577), LARGE),
    "a gigabyte promised": (_ward(b"x", "Content-Length: 1073741824", length=False), LARGE),
    "a length of 30 digits": (_ward(b"x", "Content-Length: " + "9" * 30, length=False), LARGE),
    "a negative length": (_ward(b"x", "Content-Length: -1", length=False), WRONG),
    "a length with a plus": (_ward(b"x", "Content-Length: +1", length=False), WRONG),
    "a length in letters": (_ward(b"x", "Content-Length: one", length=False), WRONG),
    "two lengths": (_ward(b"xx", "Content-Length: 1"), WRONG),
    "two equal lengths": (_ward(b"x", "Content-Length: 1"), WRONG),
    "a list of lengths": (_ward(b"x", "Content-Length: 1, 1", length=False), WRONG),
    "a body that breaks off": (_ward(b'{"name": "x"', "Content-Length: 20", length=False), 408),
}
CHUNKS: Hostile = {
    "in chunks, no JSON": (_ward(chunked(b'{"na', b'me": '), "Transfer-Encoding: chunked", length=False), WRONG),
    "in chunks, above the limit": (
        _ward(chunked(*[b" " * 65_536] * 17), "Transfer-Encoding: chunked", length=False),
        LARGE,
    ),
    "chunks of one byte": (_ward(chunked(*[b"["] * 9_000), "Transfer-Encoding: chunked", length=False), WRONG),
    "a chunk of no number": (_ward(b"xyz\r\nab\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False), WRONG),
    "a negative chunk": (_ward(b"-1\r\nab\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False), WRONG),
    "a chunk of 2^64": (_ward(b"f" * 17 + b"\r\nab\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False), WRONG),
    "a chunk longer than it says": (_ward(b"1\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False), WRONG),
    "a trailer that is a header": (
        _ward(b"0\r\nContent-Length: 5\r\n\r\n", "Transfer-Encoding: chunked", length=False),
        WRONG,
    ),
    "chunks and a length": (_ward(chunked(b"x"), "Transfer-Encoding: chunked"), WRONG),
    "chunks of another kind": (_ward(chunked(b"x"), "Transfer-Encoding: xchunked", length=False), STRANGE),
    "chunks twice": (_ward(chunked(b"x"), "Transfer-Encoding: chunked, chunked", length=False), WRONG),
    "chunks, hidden by a tab": (_ward(chunked(b"x"), "Transfer-Encoding:\tchunked\x0b", length=False), WRONG),
    "chunks in HTTP/1.0": (
        _ward(chunked(b"x"), "Transfer-Encoding: chunked", length=False, version="HTTP/1.0"),
        WRONG,
    ),
}
HEADERS: Hostile = {
    "10,000 headers": (_get("/api/v1/me", *(f"X-{n}: 1" for n in range(10_000))), HEAD),
    "100 headers": (_get("/api/v1/me", *(f"X-{n}: 1" for n in range(100))), HEAD),
    "a header of 1 MB": (_get("/api/v1/me", "X-Long: " + "x" * 1_000_000), HEAD),
    "a header of 10 KB": (_get("/api/v1/me", "X-Long: " + "x" * 10_000), HEAD),
    "NUL in a header": (_get("/api/v1/me", b"X-Nul: a\0b"), WRONG),
    "a line feed alone": (_get("/api/v1/me", b"X-A: 1\nX-B: 2"), WRONG),
    "a folded header": (_get("/api/v1/me", b"X-A: 1\r\n  2"), WRONG),
    "no colon": (_get("/api/v1/me", b"nonsense"), WRONG),
    "a blank before the colon": (_get("/api/v1/me", b"Content-Length : 5"), WRONG),
    "a header without a name": (_get("/api/v1/me", b": 1"), WRONG),
    "bytes that are no text": (_get("/api/v1/me", b"X-Request-ID: \xff\xfe"), OK),
    "a request id that breaks lines": (_get("/api/v1/me", b"X-Request-ID: a\r b"), WRONG),
    "a token of no ASCII": (lambda token: request("GET", "/api/v1/me", "Authorization: Bearer naïve"), 401),
    "a token with NUL, escaped": (lambda token: request("GET", "/api/v1/me", "Authorization: Bearer %00"), 401),
    "a key that is too long": (_ward(_named(b'"x"'), "Idempotency-Key: " + "x" * 129), INVALID),
    "a key of no ASCII": (_ward(_named(b'"x"'), b"Idempotency-Key: \xff"), INVALID),
    "a script's environment": (_get("/api/v1/me", "X_Forwarded_For: 1.2.3.4"), OK),
    "another host": (_get("/api/v1/me", "X-Forwarded-Host: evil.example"), OK),
    "two hosts": (_get("/api/v1/me", "Host: evil.example"), WRONG),
    "a method by header": (_get("/api/v1/me", "X-HTTP-Method-Override: DELETE"), OK),
    "an upgrade": (_get("/api/v1/me", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"), OK),
}
TARGETS: Hostile = {
    "a path of 100 KB": (_get("/" + "a" * 100_000), ADDRESS),
    "10,000 parameters": (_get("/api/v1/wards?" + "&".join(f"a{n}=1" for n in range(10_000))), ADDRESS),
    "300 parameters": (_get("/api/v1/wards?" + "&".join(f"a{n}=1" for n in range(300))), INVALID),
    "NUL in the path": (_get(b"/api/v1/\0"), WRONG),
    "NUL in the path, escaped": (_get("/api/v1/wards%00"), LOST),
    "NUL in the query, escaped": (_get("/api/v1/patients?q=a%00b"), INVALID),
    "overlong UTF-8 in the path": (_get("/api/v1/%c0%af"), LOST),
    "overlong UTF-8 in the query": (_get("/api/v1/patients?q=%c0%80"), OK),
    "half a surrogate pair in the query": (_get("/api/v1/patients?q=%ed%a0%80"), OK),
    "bytes that are no text in the path": (_get(b"/api/v1/\xff\xfe"), WRONG),
    "half an escape": (_get("/api/v1/patients?q=%"), OK),
    "up and out": (_get("/static/../../../etc/passwd"), LOST),
    "up and out, escaped": (_get("/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd"), LOST),
    "up and out, twice escaped": (_get("/static/%252e%252e/config.py"), LOST),
    "backslashes": (_get("/static/..\\..\\config.py"), LOST),
    "an absolute address": (_get("http://evil.example/api/v1/me"), OK),
    "an address of another scheme": (_get("file:///etc/passwd"), LOST),
    "two slashes": (_get("//evil.example/api/v1/me"), LOST),
    "a star": (_get("*"), WRONG),
    "nothing": (_get(""), WRONG),
    "blanks": (_get("/api/v1/me /x"), WRONG),
}
METHODS: Hostile = {
    "TRACE": (lambda token: request("TRACE", "/api/v1/me", token=token), METHOD),
    "CONNECT": (lambda token: request("CONNECT", "evil.example:443", token=token), LOST),
    "a method nobody knows": (lambda token: request("BREW", "/api/v1/me", token=token), METHOD),
    "a method in small letters": (lambda token: request("get", "/api/v1/me", token=token), WRONG),
    "a method of 1,000 letters": (lambda token: request("A" * 1_000, "/api/v1/me", token=token), WRONG),
    "HTTP/0.9": (lambda token: b"GET /api/v1/me\r\n\r\n", WRONG),
    "HTTP/1.0 without a host": (lambda token: b"GET /healthz HTTP/1.0\r\n\r\n", OK),
    "HTTP/2 at once": (lambda token: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", WRONG),
    "HTTP/9.9": (lambda token: request(version="HTTP/9.9", token=token), WRONG),
    "TLS": (lambda token: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", WRONG),
    "nothing but line breaks": (lambda token: b"\r\n" * 50, WRONG),
    "a request behind the first": (lambda t: request(token=t) + request("DELETE", "/api/v1/me/tokens", token=t), OK),
    "a request in the body of a read": (
        lambda t: request("GET", "/api/v1/me", token=t, body=request("DELETE", "/api/v1/me/tokens", token=t)),
        OK,
    ),
    "a megabyte of no HTTP": (lambda token: b"x" * 1_000_000, ADDRESS),
    "goodbye": (lambda token: b"", CLOSED),
}
HOSTILE: Hostile = {**JSON, **KINDS, **LENGTHS, **CHUNKS, **HEADERS, **TARGETS, **METHODS}
