"""The bench: ValMed, its baseline and PostgreSQL itself do the same fulfilments, in turn, on one machine.

    python -m load.bench --json bench.json --chart bench.svg
    python -m load.bench --sizes 10000,1000000 --contestants valmed --loads spread --clients 8
    python -m load.bench --smoke

Contestants:

- `pgbench_prepared`, `pgbench_simple`: ValMed's own statements sent by pgbench (scripts.py), the limit.
- `valmed`: `POST /api/v1/orders/<id>/fulfill` through gunicorn with sync workers, every order once.
- `valmed_round`: `POST /api/v1/fulfillments` with 20 orders, counted in orders; its latency is the round's.
- `baseline`: the design that ValMed succeeds (load/baseline), through the same gunicorn and the same clients.
- `board`, `stock`, `movements`, `orders`, `patient_search`: reads (reads.py), after all that; counted in answers.

Loads: `spread` over all drugs of one ward, `skewed` with 80 % of the orders on 1 % of them, `one_drug`. Sizes: how many
orders, and as many movements, lie around; each has a database of its own, and all of them take turns.

Decision: within a round the contestants take turns, the first of a round is the last of the next, and every figure is
the median over the rounds; a ratio is the median of the ratios within a round. Because on a shared machine the drift
of minutes is larger than the differences, and it then hits all alike. Cost: a run takes rounds x loads x client counts
x contestants x (seconds + a few).

`--quiet 0.05` measures an interval again in which other programs used more than a twentieth of the processors. They
slow ValMed more than pgbench, which has a process for each client to be scheduled.

Nothing but the window counts: one second of warm-up and half a second at the end are cut off, and orders are refilled
between the intervals. At the end `valmed verify` looks at each hospital, and every interval compares the answers that
clients got with the orders that the database completed.
"""
