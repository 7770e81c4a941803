"""What the log says of a passkey whose count went back: whose it is, and only where the key itself was shown."""

from pathlib import Path

from backend.config import Config
from tests.web.test_logs import BEGIN, run

SCENARIO = (
    BEGIN
    + """
from dataclasses import replace
from tests.domain.identity.passkeys import signing as the
from tests.domain.identity.device import Device
from tests.domain.identity.test_second_factors import refusal_of

database.config = replace(database.config, origin=the.ORIGIN)
device = the.enrolled(hospital, hospital.nurse)
device.count = 4
the.alone(database, device)
device.count, device.counts = 3, False
forger = Device(the.ORIGIN, counts=False, credential_id=device.credential_id, handle=device.handle)
outcomes = [refusal_of(lambda: the.alone(database, one)) for one in (forger, device)]
tell(outcomes=outcomes, passkey=str(hospital.rows("SELECT id FROM passkeys")[0][0]))
"""
)


def test_a_count_that_went_back_is_one_line_of_who_holds_the_key(config: Config, tmp_path: Path) -> None:
    facts, lines, _ = run(SCENARIO, config, tmp_path / "valmed.log")
    assert facts["outcomes"] == ["not_authenticated"] * 2
    (line,) = (line for line in lines if line["event"] == "passkey_count_went_back")
    assert (line["level"], line["stored"], line["shown"]) == ("warning", 5, 3)
    assert (line["organization_id"], line["user_id"]) == (facts["organization_id"], facts["users"]["nurse"])
    assert line["passkey_id"] == facts["passkey"]
