"""A device with passkeys for the browser tests: Chromium's own virtual authenticator, over CDP."""

from typing import Any

from flask import Flask

from tests.domain.identity.device import Device as Forger
from tests.domain.identity.passkeys.signing import enrolled
from tests.hospital import Hospital


class Device:
    """A phone that verifies its owner, or with `verifying` False a stick that is only touched."""

    def __init__(self, page: Any, *, verifying: bool = True) -> None:
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal" if verifying else "usb",
            "hasResidentKey": verifying,
            "hasUserVerification": verifying,
            "isUserVerified": verifying,
            "automaticPresenceSimulation": True,
        }
        self._id = self._ask("addVirtualAuthenticator", options=options)["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        """The passkeys that it holds, private keys too."""
        found: list[dict[str, Any]] = self._ask("getCredentials", authenticatorId=self._id)["credentials"]
        return found

    def put(self, credential: dict[str, Any], **changes: Any) -> None:
        """Makes it hold `credential`, with `changes`, in the place of one of the same id: a copy of a key."""
        for held in self.credentials():
            if held["credentialId"] == credential["credentialId"]:
                self._ask("removeCredential", authenticatorId=self._id, credentialId=held["credentialId"])
        self._ask("addCredential", authenticatorId=self._id, credential={**credential, **changes})

    def remove(self) -> None:
        """Takes it out of the browser."""
        self._ask("removeVirtualAuthenticator", authenticatorId=self._id)

    def _ask(self, method: str, **values: Any) -> Any:
        return self._cdp.send(f"WebAuthn.{method}", values)


def names(hospital: Hospital) -> list[str]:
    """The passkeys that are registered."""
    return [row[0] for row in hospital.rows("SELECT name FROM passkeys ORDER BY id")]


def enrolled_on_the_server(hospital: Hospital, app: Flask) -> Forger:
    """A device of the nurse's, in Python."""
    device = enrolled(hospital, hospital.nurse)
    device.origin = app.extensions["valmed"].config.origin
    return device
