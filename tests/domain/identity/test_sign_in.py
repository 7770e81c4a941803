"""Credentials, tokens and staff, below HTTP: what is stored, what ends a sign-in, and whose it is."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from backend.actor import Actor, Role
from backend.db import Database, Session, new_id
from backend.domain.identity import queries, tokens, users
from backend.domain.identity.passwords import LENGTH_MAX, LENGTH_MIN, hash_password, is_password
from backend.domain.identity.queries import UserNotFound
from backend.domain.identity.sign_in.by_password import Origin, SignedIn, check_password, finish
from backend.domain.identity.tokens import Credentials, IssuedToken
from backend.domain.identity.users import EmailTaken
from backend.errors import DomainError, NotAuthenticated, ValidationFailed
from tests.hospital import PASSWORD, Hospital, now, open_hospital

LONG = "💊 zweimal täglich, " * 10


def credentials_of(hospital: Hospital, login: str = "nurse", **changes: Any) -> Credentials:
    """What the member of staff types."""
    return replace(Credentials(hospital.slug, f"{login}@{hospital.slug}.example", PASSWORD), **changes)


def origin(address: str = "192.0.2.1", at: datetime | None = None) -> Origin:
    """A request from `address`."""
    return Origin(address, "r", at or now())


def sign_in(database: Database, credentials: Credentials, where: Origin) -> SignedIn:
    """What POST /tokens does."""
    return finish(database, check_password(database, credentials, where), credentials.otp, where)


def issue(hospital: Hospital, actor: Actor | None = None, *, hours: int = 1) -> IssuedToken:
    """A token of the nurse, or of `actor`."""
    who = actor or hospital.nurse
    issued: IssuedToken = hospital.run(
        lambda session: tokens.issue_token(session, actor=who, now=now(), hours=hours), who
    )
    return issued


def who(database: Database, token: str) -> Actor:
    """Whose token it is."""
    return tokens.authenticate(database, token, request_id="r")[0]


def change(hospital: Hospital, actor: Actor, **changes: Any) -> None:
    """Changes a member of staff."""
    values = {"organization_id": hospital.organization_id, "user_id": actor.user_id, "now": now()}

    def work(session: Session) -> None:
        session.take_lanes([tokens.sign_in_lane(actor.organization_id, actor.user_id)])
        users.change_user(session, **values, **changes)

    hospital.run(work)


# Passwords


def test_a_password_is_stored_as_argon2id_with_a_salt_of_its_own(hospital: Hospital) -> None:
    for actor in hospital.staff.values():
        change(hospital, actor, password=LONG[:LENGTH_MIN])
    stored = [row[0] for row in hospital.rows("SELECT password_hash FROM users")]
    assert all(text.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for text in stored)
    assert len(set(stored)) == 4, "four people with one password"
    assert is_password(stored[0], LONG[:LENGTH_MIN])


@pytest.mark.parametrize("length", [LENGTH_MIN - 1, LENGTH_MAX + 1])
def test_a_password_that_is_too_short_or_too_long_is_not_stored(hospital: Hospital, length: int) -> None:
    before = hospital.rows("SELECT count(*), sum(version) FROM users")
    with pytest.raises(ValidationFailed):
        change(hospital, hospital.nurse, password=LONG[:length])
    assert hospital.rows("SELECT count(*), sum(version) FROM users") == before
    for right in (LONG[:LENGTH_MIN], LONG[:LENGTH_MAX]):
        assert is_password(hash_password(right), right)
        assert not is_password(hash_password(right), right + "!")


@pytest.mark.parametrize("stored", [None, "", "garbage", "$argon2id$v=19$m=19456,t=2,p=1$broken"])
def test_a_hash_that_is_none_lets_nobody_in(stored: str | None) -> None:
    assert not is_password(stored, PASSWORD)
    assert not is_password(stored, "")


# Credentials


def test_credentials_say_who_it_is(hospital: Hospital, database: Database) -> None:
    for role in Role:
        actor = sign_in(database, credentials_of(hospital, role.value), origin()).actor
        assert actor == replace(hospital.staff[role.value], request_id="r")
        assert actor.second_factor is False


# Tokens


def test_only_the_sha256_of_a_token_is_stored(hospital: Hospital, database: Database) -> None:
    issued = issue(hospital)
    assert issued.token.startswith("vmd_")
    assert len(issued.token) == 4 + 43
    ((stored,),) = hospital.rows("SELECT token_sha256 FROM access_tokens")
    assert bytes(stored) == hashlib.sha256(issued.token.encode()).digest()
    assert who(database, issued.token) == replace(hospital.nurse, request_id="r")
    assert issue(hospital).token != issued.token


@pytest.mark.parametrize("token", ["", "vmd_", "x" * 128, "x" * 129, "x" * 1_000_000, "'; --", "\x00"])
def test_an_unknown_token_is_nobodys(hospital: Hospital, database: Database, token: str) -> None:
    issue(hospital)
    with pytest.raises(NotAuthenticated):
        who(database, token)


def test_a_token_ends_at_its_time_by_the_clock_of_the_database(hospital: Hospital, database: Database) -> None:
    token = issue(hospital).token
    hospital.change("UPDATE access_tokens SET expires_at = now() + interval '1 minute'")
    assert who(database, token)
    hospital.change("UPDATE access_tokens SET expires_at = now()")
    with pytest.raises(NotAuthenticated):
        who(database, token)


def revoke(hospital: Hospital, token: str, actor: Actor | None = None) -> None:
    """Signs out."""
    who = actor or hospital.nurse
    hospital.run(lambda session: tokens.revoke_token(session, actor=who, token=token, now=now()), who)


def test_a_token_is_revoked_alone_and_once(hospital: Hospital, database: Database) -> None:
    ended, other = issue(hospital).token, issue(hospital).token
    revoke(hospital, ended)
    (first,) = hospital.rows("SELECT revoked_at FROM access_tokens WHERE revoked_at IS NOT NULL")
    revoke(hospital, ended)
    assert hospital.rows("SELECT revoked_at FROM access_tokens WHERE revoked_at IS NOT NULL") == [first]
    with pytest.raises(NotAuthenticated):
        who(database, ended)
    assert who(database, other)


def test_nobody_revokes_a_token_of_another_hospital(hospital: Hospital, database: Database) -> None:
    token = issue(hospital).token
    other = open_hospital(database)
    revoke(other, token)
    assert who(database, token)


def test_a_token_finds_the_place_of_an_order_of_its_own_hospital_only(hospital: Hospital, database: Database) -> None:
    token, other = issue(hospital).token, open_hospital(database)

    def place_of(order_id: Any) -> Any:
        return tokens.authenticate(database, token, request_id="r", order_id=order_id)[1]

    assert place_of(hospital.place()) == tokens.OrderPlace(hospital.ward_id, hospital.drug_id)
    assert [place_of(order_id) for order_id in (None, new_id(), other.place())] == [None, None, None]


def test_the_role_of_a_token_is_the_users_of_this_moment(hospital: Hospital, database: Database) -> None:
    token = issue(hospital).token
    hospital.change("UPDATE users SET role = 'doctor', name = 'Promoted' WHERE id = :p1", hospital.nurse.user_id)
    actor = who(database, token)
    assert (actor.role, actor.name) == (Role.DOCTOR, "Promoted")
    hospital.change("UPDATE users SET active = false WHERE id = :p1", hospital.nurse.user_id)
    with pytest.raises(NotAuthenticated):
        who(database, token)


# Staff


@pytest.mark.parametrize("changes", [{"password": "another long password"}, {"role": Role.DOCTOR}, {"active": False}])
def test_what_ends_a_users_tokens_ends_no_other_users(
    hospital: Hospital, database: Database, changes: dict[str, Any]
) -> None:
    colleague = hospital.add_staff("colleague", Role.NURSE)
    hers, theirs = issue(hospital).token, issue(hospital, colleague).token
    change(hospital, hospital.nurse, **changes)
    with pytest.raises(NotAuthenticated):
        who(database, hers)
    assert who(database, theirs)


def test_who_left_can_come_back_but_not_with_an_old_token(hospital: Hospital, database: Database) -> None:
    token = issue(hospital).token
    change(hospital, hospital.nurse, active=False)
    with pytest.raises(NotAuthenticated):
        check_password(database, credentials_of(hospital), origin())
    change(hospital, hospital.nurse, active=True)
    with pytest.raises(NotAuthenticated):
        who(database, token)
    assert check_password(database, credentials_of(hospital), origin())


def test_an_email_is_taken_in_any_case(hospital: Hospital) -> None:
    def again(session: Session) -> None:
        values = {"name": "Again", "role": Role.DOCTOR, "password": PASSWORD}
        email = f"Nurse@{hospital.slug.upper()}.example"
        users.add_user(session, organization_id=hospital.organization_id, email=email, **values)

    with pytest.raises(EmailTaken):
        hospital.run(again)
    assert hospital.rows("SELECT count(*) FROM users") == [(4,)]


def test_the_wards_of_a_user_become_those_that_are_named(hospital: Hospital) -> None:
    wards = [hospital.ward_id, hospital.add_ward(), hospital.add_ward()]
    for named in ([wards[1], wards[2], wards[1]], wards, [], wards[:1]):
        change(hospital, hospital.nurse, ward_ids=named)
        held = hospital.rows("SELECT ward_id FROM ward_memberships WHERE user_id = :p1", hospital.nurse.user_id)
        assert sorted(row[0] for row in held) == sorted(set(named))


def test_wards_that_stay_keep_their_membership(hospital: Hospital) -> None:
    before = hospital.rows("SELECT id FROM ward_memberships")
    change(hospital, hospital.nurse, ward_ids=[hospital.add_ward(), hospital.ward_id])
    assert set(before) < set(hospital.rows("SELECT id FROM ward_memberships"))


def test_an_unknown_ward_and_one_of_another_hospital_change_nothing(hospital: Hospital, database: Database) -> None:
    foreign = open_hospital(database).ward_id
    before = hospital.rows("SELECT id, ward_id FROM ward_memberships")
    for ward_id in (new_id(), foreign):
        with pytest.raises(ValidationFailed):
            change(hospital, hospital.nurse, ward_ids=[ward_id, hospital.ward_id], name="Renamed")
    assert hospital.rows("SELECT id, ward_id FROM ward_memberships") == before
    assert hospital.rows("SELECT count(*) FROM users WHERE name = 'Renamed'") == [(0,)]


def test_a_user_of_another_hospital_is_not_found(hospital: Hospital, database: Database) -> None:
    other = open_hospital(database)
    for attempt in (
        lambda: change(hospital, other.nurse, name="Renamed"),
        lambda: hospital.run(
            lambda session: queries.get_user(
                session, organization_id=hospital.organization_id, user_id=other.nurse.user_id
            )
        ),
    ):
        with pytest.raises(UserNotFound) as refusal:
            attempt()
        assert isinstance(refusal.value, DomainError)
    assert other.rows("SELECT count(*) FROM users WHERE name = 'Renamed'") == [(0,)]
