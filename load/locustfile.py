"""Load tests: nurses, pharmacists and doctors of one hospital at work, then the proof that stock and orders agree.

From the top of the repository:

    locust -f load/locustfile.py --headless -u 50 -r 10 -t 60s --host http://127.0.0.1:8000

Works with the web interface and with `--processes` or `--master` and `--worker` alike. Refusals that a ward meets every
day are counted by their code and are no failures; a wrong body, a replay that differs, any 5xx but a proper `busy` are.
A run ends with the summary and `valmed verify`; the exit status is 0 only when there was no failure, something was
answered, and the verification passed. Settings: load/scenarios/settings.py.

Decision: the people pause between actions as people do, so that a number of users is a number of people at screens.
Because a closed loop without pauses measures the client. Cost: a hundred users are some fifteen requests a second;
VALMED_LOAD_THINK=0.1 makes them ten times as hurried.
"""

from load.scenarios import conclusion  # noqa: F401 - connects the end of a run
from load.scenarios.doctor import Doctor
from load.scenarios.nurse import Nurse
from load.scenarios.pharmacist import Pharmacist

__all__ = ["Doctor", "Nurse", "Pharmacist"]
