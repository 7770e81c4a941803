"""What is asked before a tenant is known: who signs in, whose token this is, which hospital a name means.

SECURITY DEFINER with a pinned search_path: the owner reads three tables through the policy `sign_in`, the application
role reads them only through these functions. `authenticate` also tells where an order lies, so that a fulfilment knows
its lane before its transaction begins; it looks the order up as the token's own tenant.
"""

from alembic import op

from backend.db import ddl

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SIGN_IN_CANDIDATE = """
BEGIN
  RETURN QUERY
    SELECT o.id, u.id, u.role::text, u.name, u.password_hash, u.totp_secret
    FROM organizations o JOIN users u ON u.organization_id = o.id
    WHERE o.slug = wanted_slug AND u.email = wanted_email AND u.active;
END
"""

AUTHENTICATE = """
BEGIN
  SELECT t.organization_id, t.user_id, u.role::text, u.name, t.second_factor
    INTO organization_id, user_id, role, name, second_factor
    FROM access_tokens t JOIN users u ON (u.organization_id, u.id) = (t.organization_id, t.user_id)
    WHERE t.token_sha256 = wanted_sha256 AND t.revoked_at IS NULL AND t.expires_at > now() AND u.active;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF wanted_order IS NOT NULL THEN
    PERFORM set_config('app.organization_id', organization_id::text, true);
    SELECT o.ward_id, o.drug_id INTO ward_id, drug_id
      FROM medication_orders o
      WHERE o.organization_id = authenticate.organization_id AND o.id = wanted_order;
  END IF;
  RETURN NEXT;
END
"""

ORGANIZATION_NAMED = """
BEGIN
  RETURN (SELECT o.id FROM organizations o WHERE o.slug = wanted_slug);
END
"""


def upgrade() -> None:
    ddl.create_function(
        "sign_in_candidate(wanted_slug text, wanted_email text)",
        SIGN_IN_CANDIDATE,
        returns="TABLE (organization_id uuid, user_id uuid, role text, name text, password_hash text,"
        " totp_secret text)",
        grant=True,
    )
    ddl.create_function(
        "authenticate(wanted_sha256 bytea, wanted_order uuid)",
        AUTHENTICATE,
        returns="TABLE (organization_id uuid, user_id uuid, role text, name text, second_factor boolean,"
        " ward_id uuid, drug_id uuid)",
        grant=True,
    )
    ddl.create_function("organization_named(wanted_slug text)", ORGANIZATION_NAMED, returns="uuid", grant=True)


def downgrade() -> None:
    op.execute("DROP FUNCTION organization_named")
    op.execute("DROP FUNCTION authenticate")
    op.execute("DROP FUNCTION sign_in_candidate")
