"""What every page shares: its frame, its filters, its headers, and how a refusal looks."""

import re
import secrets
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as AnyResponse

from backend.domain.formulary.tall_man import tall_man
from backend.errors import Busy, DomainError, NotAuthenticated
from backend.ui.frame.navigation import tabs
from backend.ui.frame.problem_text import field_of, is_time, plainly, title_of
from backend.ui.frame.session import IDLE_SECONDS_MAX, ScreenLocked, identify, touch
from backend.web.compression import compressed
from backend.web.endpoint import database_of_app
from backend.web.problems import CONTENT_TYPE, of_domain, of_http, unexpected_error

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_KEY = re.compile(r"[0-9a-f]{32}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"same-origin", "none"})  # "none": the person themselves, by reloading a form
csrf = CSRFProtect()


def blueprint_of(name: str, *, signed_in: bool = True, body_max: str = "MAX_CONTENT_LENGTH") -> Blueprint:
    """A blueprint of pages: CSRF is checked, and unless `signed_in` is False somebody is at the screen.

    `body_max` is the setting of the application that limits its forms in bytes.
    """
    blueprint = Blueprint(name, __name__)

    @blueprint.before_request
    def guard() -> None:
        if signed_in:
            identify()
        request.max_content_length = current_app.config[body_max]
        _refuse_from_elsewhere()
        csrf.protect()
        if signed_in and not request.headers.get("X-Poll"):
            touch()

    blueprint.register_error_handler(DomainError, _refused)
    blueprint.register_error_handler(CSRFError, _stale_form)
    blueprint.register_error_handler(Exception, _broken)
    blueprint.after_request(_with_headers)
    return blueprint


def _refuse_from_elsewhere() -> None:
    """Raises CSRFError where the browser says that another site's page makes this change."""
    if request.method not in _SAFE and request.headers.get("Sec-Fetch-Site", "same-origin") not in _OURS:
        raise CSRFError("another site")


def install(app: Flask) -> None:
    """Templates, static files and filters of the pages."""
    app.static_folder = "ui/static"
    app.static_url_path = "/static"
    app.template_folder = "ui/templates"
    app.add_url_rule("/static/<path:filename>", endpoint="static", view_func=compressed(app.send_static_file))
    Bootstrap5(app)
    app.view_functions["bootstrap.static"] = compressed(app.view_functions["bootstrap.static"])
    csrf.init_app(app)
    app.jinja_env.filters.update(moment=_moment, exact=_exact, day=_day, of=_of, figure=_figure)
    app.jinja_env.filters.update(plural=_plural, tall_man=tall_man)
    app.jinja_env.filters.update(field=field_of, plainly=plainly, named=title_of)
    app.jinja_env.tests["time"] = is_time
    app.jinja_env.globals["new_key"] = lambda: secrets.token_hex(16)
    app.context_processor(_frame)
    app.register_error_handler(NotFound, _no_page)


def form_key() -> str:
    """The key that the current form was rendered with. Raises nothing: an odd one counts as a new form."""
    given = request.form.get("key", "")
    return given if _KEY.fullmatch(given) else secrets.token_hex(16)


def kept_key(refusal: DomainError | None) -> str:
    """The key of a form that is shown again: its own where nobody knows whether the change was made, else none."""
    return form_key() if isinstance(refusal, Busy) else ""


def _frame() -> dict[str, Any]:
    return {
        "about": session.get("about"),
        "theme": request.cookies.get("theme", ""),
        "passkeys_at": database_of_app().config.origin,
        "tabs": tabs(),
        "locks_after": IDLE_SECONDS_MAX,
        "opened_at": f"{local_now():%-d %b %Y %H:%M}",  # for paper, which does not refresh itself
    }


def zone() -> ZoneInfo:
    """The time zone of the hospital of who is signed in."""
    return ZoneInfo(session.get("about", {}).get("time_zone", "UTC"))


def local_now() -> datetime:
    """Tell the time of the page in the hospital's zone: the database's, or this node's where it could not be asked."""
    moment: datetime = g.get("now") or datetime.now(UTC)  # noqa: TID251 - shown only
    return moment.astimezone(zone())


def midnight(day: str, *, days_later: int = 0) -> str:
    """Return when a day begins by the hospital's clocks, or one after it; the text itself where it is no day."""
    try:
        begins = datetime.strptime(day, "%Y-%m-%d") + timedelta(days=days_later)  # noqa: DTZ007 - the zone follows
        return begins.replace(tzinfo=zone()).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return day


def _moment(at: datetime | str) -> str:
    """Write a time, or an ISO text of one, with its day; what is today's or this year's is left out."""
    moment = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(zone())
    today = local_now().date()
    if moment.date() == today:
        return f"{moment:%H:%M}"
    return f"{moment:%-d %b %H:%M}" if moment.year == today.year else f"{moment:%-d %b %Y %H:%M}"


def _exact(text: str) -> str:
    """An ISO time to the second, for evidence."""
    return f"{datetime.fromisoformat(text).astimezone(zone()):%-d %b %Y %H:%M:%S}"


def _of(units: int | None, unit: str) -> str:
    """So many of a dispensing unit: 1 tablet, 2 tablets, 5 mL; a dash where the figure is hidden."""
    return _figure(units) if units is None else f"{units} {_plural(unit) if units != 1 else unit}"


def _figure(units: int | None) -> str:
    """A figure, or a dash where it is hidden from whoever looks: they are counting the shelf blind."""
    return "–" if units is None else str(units)


def _plural(unit: str) -> str:
    """A dispensing unit as several of it are called: tablets, mL."""
    return f"{unit}s" if unit.islower() else unit


def _day(day: date | str) -> str:
    """Write a day, or an ISO text of one, as people do."""
    return f"{date.fromisoformat(day) if isinstance(day, str) else day:%-d %b %Y}"


def _refused(refusal: DomainError) -> AnyResponse | tuple[str, int]:
    """The page of a refusal; without a sign-in the sign-in page, with a sleeping screen its lock."""
    if request.headers.get("X-Poll"):
        return of_domain(refusal)
    here = request.full_path.rstrip("?") if request.method == "GET" else "/"
    if isinstance(refusal, ScreenLocked):
        return redirect(url_for("signing_in.show_lock", next=here))
    if isinstance(refusal, NotAuthenticated):
        return redirect(url_for("signing_in.show_sign_in", next=here))
    g.problem_code = refusal.code
    return render_template("refused.html", refusal=refusal, again=isinstance(refusal, Busy)), refusal.status


def _stale_form(_error: CSRFError) -> tuple[str, int]:
    return render_template("stale.html"), 400


def _broken(error: Exception) -> tuple[str, int] | AnyResponse:
    """What nobody foresaw, logged like the API's."""
    if isinstance(error, HTTPException):
        return render_template("http_error.html", error=error), error.code or 500
    answer = unexpected_error(error)
    return answer if request.headers.get("X-Poll") else (render_template("broken.html"), 500)


def _no_page(error: NotFound) -> AnyResponse:
    """An address that is neither page nor operation: a page for who browses, the problem document for programs."""
    answer = of_http(error)
    kind = request.accept_mimetypes.best_match([CONTENT_TYPE, "text/html"])
    if request.path.startswith("/api/") or kind != "text/html":
        return answer
    return _with_headers(make_response(render_template("http_error.html", error=error), error.code))


def _with_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CSP
    return response
