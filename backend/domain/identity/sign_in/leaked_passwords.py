"""Passwords that are tried first: leaked ones, and those made of what everybody knows of their owner.

Decision: a list of 43,000 leaked passwords that are long enough for our rule, which lies beside this file, and the
names of the person and the hospital; no rule of composition. Because people answer digits and signs with "Password1!",
and a service asked over the network would learn of every password that is set. Cost: what leaks after a release is
listed with the next one.
"""

import gzip
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("leaked_passwords.txt.gz")
DIFFERENT_MIN = 5
OWN_MIN = 8
NAME_LENGTH_MIN = 4
WORDS = frozenset(
    (
        *("valmed", "hospital", "clinic", "pharmacy", "pharmacist", "doctor", "nurse", "admin"),
        *("password", "secret", "welcome"),
    )
)


def normalised(password: str) -> str:
    """One form for what keyboards write differently: é is one character or two."""
    return unicodedata.normalize("NFKC", password)


def why_guessable(password: str, about: Iterable[str] = ()) -> str | None:
    """Why somebody who knows `about`, names and addresses, would soon guess `password`; None where they would not."""
    folded = normalised(password).casefold()
    if f"\n{folded}\n" in _leaked():
        return "it is on the lists of leaked passwords, which are tried first"
    if len(set(folded)) < DIFFERENT_MIN:
        return f"it has fewer than {DIFFERENT_MIN} different characters"
    rest = folded
    for word in sorted(WORDS.union(*map(_words, about)), key=len, reverse=True):
        rest = rest.replace(word, "")
    if rest != folded and sum(map(str.isalnum, rest)) < OWN_MIN:
        return "it is little more than names and words that others know or guess: yours, your hospital's, your role's"
    return None


@cache
def _leaked() -> str:
    """A line for each, the first and the last one too."""
    return gzip.decompress(LIST.read_bytes()).decode()


def _words(text: str) -> set[str]:
    """`text` as a whole and each word of it."""
    whole = normalised(text).casefold()
    return {word for word in (whole, *re.split(r"[\W\d_]+", whole)) if len(word) >= NAME_LENGTH_MIN}
