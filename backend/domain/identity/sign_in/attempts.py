"""Failed sign-ins, counted in the database: every worker knows them and a restart forgets none.

Decision: whether somebody may try is asked before the password is looked at and once more after it was found right; a
failure is counted in between. Because then nobody who is in the middle of signing in counts as a failure, a locked
account costs no work, and of any number of guesses at once only those that end before the limit is reached can let
anybody in. Cost: who knows an email can lock it for the rest of the window; who is signed in stays so.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from backend.config import Config
from backend.db import Database, Prepared
from backend.errors import DomainError
from backend.observability import SIGN_IN_FAILURES

_WAIT = Prepared("sign_in_wait", "SELECT sign_in_wait(:counted::bytea[], :failures_max::integer[])")
_COUNT = Prepared(
    "count_failure",
    "SELECT count_sign_in_failure(:counted::bytea[], :failures_max::integer[], :window_seconds::integer)",
)
_FORGET = Prepared("forget_failures", "SELECT forget_sign_in_failures(:account::bytea)")
_NETWORK_BITS = 64  # of an IPv6 address: the rest is the client's to choose


class TooManyAttempts(DomainError):
    """Too many sign-ins to this account or from this address have failed. Wait for as long as Retry-After
    says; `retry_after_seconds` is the same."""

    status = 429

    def __init__(self, seconds: int) -> None:
        minutes = -(-seconds // 60)
        when = "a minute" if minutes == 1 else f"{minutes} minutes"
        super().__init__(f"Too many sign-ins have failed. Try again in {when}.", retry_after_seconds=seconds)
        self.retry_after_seconds = seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries to be whom: an account, which need not exist, and the address that it is tried from.

    Without an email nobody is named yet, as with a passkey that is unknown: then the address alone is counted.
    """

    organization: str
    email: str
    address: str

    @property
    def account(self) -> bytes:
        """What the account's failures are counted under."""
        return _sha256("account", self.organization, self.email.lower())

    def limits(self, config: Config) -> dict[str, object]:
        """Name what is `counted`, and how often each of these may fail, `failures_max`."""
        counted = {self.account: config.account_failures_max} if self.email else {}
        counted[_sha256("address", _network_of(self.address))] = config.address_failures_max
        return {"counted": list(counted), "failures_max": list(counted.values())}


def ensure_allowed(database: Database, attempt: Attempt) -> None:
    """Raises TooManyAttempts while the account or the address is locked."""
    _refuse(database.lookup(_WAIT, **attempt.limits(database.config))[0][0])


def count_failure(database: Database, attempt: Attempt) -> None:
    """Counts a failure, in a transaction of its own. Raises TooManyAttempts where it came too late to count."""
    SIGN_IN_FAILURES.labels("failed").inc()
    seconds = database.config.failure_window_minutes * 60
    _refuse(database.increment(_COUNT, **attempt.limits(database.config), window_seconds=seconds)[0][0])


def forget_failures(database: Database, attempt: Attempt) -> None:
    """The account's owner has come: its failures are forgotten, the address's are not."""
    database.increment(_FORGET, account=attempt.account)


def _refuse(seconds: int) -> None:
    if seconds > 0:
        SIGN_IN_FAILURES.labels("locked").inc()
        raise TooManyAttempts(seconds)


def _network_of(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, _NETWORK_BITS), strict=False))


def _sha256(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
