"""What a URL tells whoever reads it: a log, a history, somebody behind the screen."""

import base64
import binascii
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote_plus

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{6,}")


def texts_in(url: str) -> Iterator[str]:
    """The URL as it stands, and whatever of it reads as text once percent signs and base64 are undone."""
    plain = unquote_plus(url)
    yield from (url, plain)
    for found in _ENCODED.findall(plain):
        for skipped in range(4):
            word = found[skipped:].replace("-", "+").replace("_", "/")
            try:
                yield base64.b64decode(word[: len(word) // 4 * 4]).decode("latin-1")
            except binascii.Error:
                continue


def tells(url: str, secrets: list[str]) -> list[str]:
    """The secrets that can be read in the URL, in whatever case."""
    texts = [text.lower() for text in texts_in(url)]
    return [secret for secret in secrets if any(secret.lower() in text for text in texts)]


class Page(HTMLParser):
    """The URLs of a page and its forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.forms: list[dict[str, str]] = []  # method and action
        self.fields: list[dict[str, str]] = []  # of each form: what it would send as it stands
        self.typed: list[list[str]] = []  # of each form: the names of what is typed into it
        self.links: dict[str, str] = {}  # by their text
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the element sends or leads to."""
        given = {name: value or "" for name, value in attrs}
        self.urls += [given[name] for name in ("href", "src", "action", "formaction") if name in given]
        if tag == "a":
            self._open = given.get("href", "")
        elif tag == "form":
            self.forms.append({"method": given.get("method", "get").lower(), "action": given.get("action", "")})
            self.fields.append({})
            self.typed.append([])
        elif tag == "input" and self.forms and "name" in given:
            kind = given.get("type", "text")
            if kind in {"hidden", "text", "search"}:
                self.fields[-1][given["name"]] = given.get("value", "")
            if kind in {"text", "search"}:
                self.typed[-1].append(given["name"])

    def handle_data(self, data: str) -> None:
        """Notes what a link says."""
        if self._open:
            self.links[data.strip()] = self._open

    def handle_endtag(self, tag: str) -> None:
        """Ends a link."""
        if tag == "a":
            self._open = ""
