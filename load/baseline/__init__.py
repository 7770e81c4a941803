"""The design that ValMed succeeds, written as it would be written naively, and kept as the thing to beat.

One SQLAlchemy ORM session per request on an engine at REPEATABLE READ with the pool of one node: the order FOR
UPDATE, its stock FOR UPDATE, decrement, order completed, one administration, one movement, commit. Nothing is retried:
when PostgreSQL answers 40001 because another transaction was first, the caller gets a 500.

It works on ValMed's tables, so its work in the database is comparable, audit triggers and row-level security included,
and it leaves out what ValMed adds, in its own favour: no token is looked up, no ward membership, verification or
witness is checked, no lot is chosen or decremented (the movement names any lot of the shelf, since the table wants
one), no idempotency key is stored, nothing is logged or counted, the answer holds no names. It serves one organization,
as the owner, with the tenant set on the connection once and for all.
"""

from load.baseline.app import create_app

__all__ = ["create_app"]
