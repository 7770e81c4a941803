"""A device with one passkey, in Python: it does what an authenticator and its browser do, and whatever none would."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import base64url_to_bytes as bytes_of
from webauthn.helpers import bytes_to_base64url as text_of

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class Device:
    """`origin` is the page that its browser shows."""

    origin: str
    count: int = 0  # how often it was used
    counts: bool = True  # some never do: theirs stays 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    handle: bytes = b""

    def make(self, offer: str) -> str:
        """The answer of navigator.credentials.create() to `offer`."""
        asked = json.loads(offer)
        self.handle = bytes_of(asked["user"]["id"])
        at = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: at.x.to_bytes(32, "big"), -3: at.y.to_bytes(32, "big")}
        named = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose)
        data = self._data(asked["rp"]["id"], PRESENT | VERIFIED | ATTESTED) + named
        response = {
            "clientDataJSON": self._client("webauthn.create", asked["challenge"]),
            "attestationObject": text_of(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
            "transports": ["internal", "hybrid"],
        }
        return self._answer(response)

    def show(self, offer: str, *, verified: bool = True, **changes: Any) -> str:
        """The answer of navigator.credentials.get() to `offer`, with `changes` of its parts."""
        asked = json.loads(offer)
        self.count += self.counts
        data = self._data(changes.get("rp_id", asked["rpId"]), PRESENT | (VERIFIED if verified else 0))
        client = self._client("webauthn.get", changes.get("challenge", asked["challenge"]))
        signed = data + hashlib.sha256(bytes_of(client)).digest()
        response = {
            "clientDataJSON": client,
            "authenticatorData": text_of(data),
            "signature": text_of(self.key.sign(signed, ec.ECDSA(SHA256()))),
            "userHandle": text_of(changes.get("handle", self.handle)),
        }
        return self._answer(response)

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> str:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return text_of(json.dumps(said).encode())

    def _answer(self, response: dict[str, Any]) -> str:
        name = text_of(self.credential_id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
