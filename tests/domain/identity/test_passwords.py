"""Which passwords are taken, in which form they are compared, and that their hashes keep up with the times."""

from typing import Any

import pytest
from argon2 import PasswordHasher

from backend.actor import Role
from backend.db import Database, Session
from backend.domain.identity import passwords, users
from backend.domain.identity.passwords import LENGTH_MAX, hash_password, is_password
from backend.domain.identity.sign_in import leaked_passwords
from backend.domain.identity.sign_in.by_password import check_password, password_fingerprint, recall
from backend.domain.identity.sign_in.leaked_passwords import why_guessable
from backend.errors import NotAuthenticated, ValidationFailed
from tests.domain.identity.test_sign_in import change, credentials_of, origin
from tests.hospital import PASSWORD, Hospital

ABOUT = ("Nora Bennett", "nora.b@riverside.example", "Riverside Hospital")


@pytest.mark.parametrize(
    "password",
    [
        *("password1234", "Password1234", "QWERTYUIOP12", "123qweasdzxc", "administrator", "leavemealone"),
        *("aaaaaaaaaaaaaaa", "abababababab", "           12"),
        *(
            "Riverside2026!!!",
            "nora.bennett.1984",
            "Nora-Bennett-4",
            "ValMed-2026-!",
            "pharmacy pharmacy",
            "NURSEnurse123",
        ),
        "ｐａｓｓｗｏｒｄ１２３４",
    ],
)
def test_what_is_tried_first_is_refused_and_the_reason_told(password: str) -> None:
    reason = why_guessable(password, ABOUT)
    assert reason is not None
    with pytest.raises(ValidationFailed) as refused:
        hash_password(password, about=ABOUT, field="new_password")
    assert refused.value.members["errors"] == [{"pointer": "/new_password", "detail": f"choose another: {reason}"}]


@pytest.mark.parametrize(
    "password",
    [
        *("correct horse battery", "kqzvtwmrhnpl", "four small brown mice", "749302718465", "~!@#$%^&*()_+"),
        *("Nora likes seven lemons", "пароль из шести слов", "        a b c d e f g"),
    ],
)
def test_whatever_is_long_and_ones_own_is_taken_without_a_rule_of_composition(password: str) -> None:
    assert is_password(hash_password(password, about=ABOUT), password)


def test_the_list_holds_what_our_rule_would_let_through_and_more_than_ten_thousand_of_it() -> None:
    listed = leaked_passwords._leaked().split("\n")[1:-1]
    assert len(listed) > 10_000
    assert {len(word) for word in listed} <= set(range(passwords.LENGTH_MIN, LENGTH_MAX + 1))
    assert leaked_passwords._leaked().startswith("\n")
    for word in (listed[0], listed[-1]):
        assert why_guessable(word.upper() if word.upper().casefold() == word else word) is not None


def test_one_password_typed_on_two_keyboards_is_one() -> None:
    composed, decomposed = "zwölf grüne Äpfel", "zwo\u0308lf gru\u0308ne A\u0308pfel"
    assert composed != decomposed
    assert is_password(hash_password(composed), decomposed)
    assert is_password(hash_password(decomposed), composed)
    assert not is_password(hash_password(composed), "zwolf grune Apfel")


def test_what_grows_beyond_the_limit_when_it_is_brought_to_one_form_is_refused() -> None:
    with pytest.raises(ValidationFailed, match="between 12 and 128"):
        hash_password("\ufdfa one two three" * 8)


def test_an_endless_password_is_nobodys_and_costs_no_more_than_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    verify = PasswordHasher.verify

    def noting(self: PasswordHasher, stored: str, password: Any) -> bool:
        seen.append(len(password))
        return verify(self, stored, password)

    stored = hash_password(PASSWORD)
    monkeypatch.setattr(PasswordHasher, "verify", noting)
    assert not is_password(stored, "a\u0301\u0323" * 400_000)
    assert not is_password(stored, "")
    assert seen == [0, 0]


def test_names_of_the_person_and_the_hospital_are_known_where_a_password_is_set(hospital: Hospital) -> None:
    hospital.change("UPDATE organizations SET name = 'Sankt Gertrauden'")
    for password in ("Gertrauden2026!", f"nurse@{hospital.slug}", "sankt gertrauden"):
        with pytest.raises(ValidationFailed, match="choose another"):
            change(hospital, hospital.nurse, password=password)

    def join(session: Session) -> None:
        who = {"email": "mia.lang@x.example", "name": "Mia Langenfeld", "role": Role.NURSE}
        users.add_user(session, organization_id=hospital.organization_id, password="Langenfeld 2026", **who)

    with pytest.raises(ValidationFailed, match="choose another"):
        hospital.run(join)
    change(hospital, hospital.nurse, password="gertrud keeps two geese")


def test_a_hash_of_old_figures_is_made_anew_when_its_owner_signs_in(hospital: Hospital, database: Database) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    hospital.change("UPDATE users SET password_hash = :p1 WHERE role = 'nurse'", old)

    def stored() -> str:
        ((found,),) = hospital.rows("SELECT password_hash FROM users WHERE role = 'nurse'")
        return str(found)

    with pytest.raises(NotAuthenticated):
        check_password(database, credentials_of(hospital, password="wrong"), origin())
    assert stored() == old
    person = check_password(database, credentials_of(hospital), origin())
    new = stored()
    assert new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert is_password(new, PASSWORD)
    assert (
        recall(database, person.organization, person.email, password_fingerprint(person)).user_id
        == hospital.nurse.user_id
    )
    check_password(database, credentials_of(hospital), origin())
    assert stored() == new, "once"
