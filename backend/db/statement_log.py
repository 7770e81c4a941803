"""Whether PostgreSQL's own log holds what statements hold: names of patients, answers, hashes of passwords.

Values travel as text inside statements, and a violated rule quotes its row. So the log holds people's data as soon as
it quotes a failing statement, the detail of an error, or a slow statement.

Decision: warn, and refuse nothing. Because only a superuser of the server may change these settings, often for other
databases too, and a hospital must be served meanwhile. Cost: a warning can be overlooked; `valmed serve` repeats it.
"""

import psycopg2.extensions

# What each must be. Where the extension is not loaded, its setting does not exist and logs nothing.
QUIET = {
    "log_min_error_statement": "panic",  # a backend that is ended is FATAL, and its statement would be quoted
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length_on_error": "0",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "auto_explain.log_min_duration": "-1",
    "pgaudit.log": "none",
}
_DESTINATION = "log_destination"
DETAILED = frozenset({"csvlog", "jsonlog"})  # tell the row of a violated rule whatever log_error_verbosity says
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"


def find_loud_settings(connection: psycopg2.extensions.connection) -> dict[str, str]:
    """Return the settings by which the server would log what statements hold, each with the value that it should have.

    They are those of the connected role and database. Raises psycopg2.Error.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS, ([*QUIET, _DESTINATION],))
        present: dict[str, str] = dict(cursor.fetchall())
    destinations = present.pop(_DESTINATION, "").split(",")
    loud = {name: QUIET[name] for name in QUIET if present.get(name, QUIET[name]) != QUIET[name]}
    if DETAILED & {name.strip() for name in destinations}:
        loud[_DESTINATION] = "stderr"
    return loud


def warning_of(loud: dict[str, str]) -> str:
    """Return one line that says what a superuser runs against the `loud` settings."""
    changes = "".join(f" ALTER SYSTEM SET {name} = '{value}';" for name, value in loud.items())
    return (
        "PostgreSQL writes statements into its log, and with them names of patients and hashes of passwords. "
        f"A superuser ends that:{changes} SELECT pg_reload_conf();"
    )
