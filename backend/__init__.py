"""ValMed: medication-inventory ordering for hospitals. Stock and orders always agree."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from backend.config import Config


def create_app(config: "Config | None" = None) -> "Flask":
    """The WSGI application for `config`, or for the settings of the environment."""
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from backend import api, ui
    from backend.config import VERSION, Config
    from backend.db import Database
    from backend.db.provision import application_url
    from backend.domain import models
    from backend.domain.administrations.board import BoardCache
    from backend.domain.guard import guarded
    from backend.observability import BUILD, CONNECTIONS_MAX, configure_logging
    from backend.web import health, lifecycle, problems

    config = config or Config.from_env()
    configure_logging(config.log_level, config.log_file)
    assert models.Base.metadata.tables  # noqa: S101 - every model is loaded before the first statement
    app = Flask(__name__, static_folder=None)
    app.ensure_sync = lambda func: func  # type: ignore[method-assign] # no view is a coroutine; 3 % of a fulfilment
    app.config["MAX_CONTENT_LENGTH"] = config.body_bytes_max
    app.config["CLAIMS_BYTES_MAX"] = config.claims_bytes_max
    app.config["HSTS_SECONDS"] = config.hsts_seconds
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["valmed"] = Database(config.per_worker(), application_url(config), guard=guarded)
    app.extensions["valmed_boards"] = BoardCache(config.board_cache_wards_max)
    BUILD.labels(VERSION).set(1)
    CONNECTIONS_MAX.set(config.connections_max())
    lifecycle.install(app)
    if config.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=config.proxies, x_proto=0)  # type: ignore[method-assign]
    problems.install(app)
    app.register_blueprint(health.blueprint)
    api.install(app)
    ui.install(app, config)
    return app
