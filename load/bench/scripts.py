"""The fulfilment as a pgbench script, made from ValMed's own statements so that the two cannot drift apart."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from backend.config import Config
from backend.db import Prepared
from backend.db.lanes import lock_lanes
from backend.db.tenancy import prologue
from backend.identity import tokens
from backend.orders import fulfilment
from load.bench.stand import Stand

SIMPLE, PREPARED = "pgbench_simple", "pgbench_prepared"

# What ValMed stores as the answer: its length is what counts here.
ANSWER = {
    "order_id": str(uuid.UUID(int=0)),
    "status": "completed",
    "patient_name": "Castellan, Clara",
    "drug_name": "Amoxicillin",
    "dose": 1,
    "quantity_units": 1,
    "remaining_stock": 99_999_999,
    "lots": [{"lot_number": "A10001", "expires_on": "2030-01-01", "quantity_units": 1}],
    "administration_id": str(uuid.UUID(int=0)),
    "fulfilled_by": "Nadia Brandt",
    "fulfilled_at": "2030-01-01T00:00:00.000000Z",
}
