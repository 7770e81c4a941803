"""Whether stock and orders agree after all that, by `valmed verify`, so that a wrong result is not called fast."""

from backend.domain.models import Base
from backend.operations.verification.verify import verify
from load.bench.stand import Stand


def broken_invariants(stand: Stand) -> list[str]:
    """A line for each invariant that does not hold on the bench's own hospital. Raises ValueError without one."""
    findings = verify(stand.owner_url, Base.metadata, organization=stand.slug)
    if not any(finding.organization for finding in findings):
        raise ValueError(f"no organization {stand.slug} to verify")
    return [
        f"{finding.organization or 'schema'}: {finding.invariant.title}: {finding.broken} broken, {finding.rows[0]}"
        for finding in findings
        if finding.broken
    ]
