"""Who may open the page and press its buttons."""

import hmac
import ipaddress
import secrets
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from salus_ros.core.errors import ConfigError

SHORTEST_TOKEN = 16
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    # Nothing from another host, no script or style in the page itself, no frame around it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Lets in who is allowed to.

    On the loopback everybody on this machine is, but no page of another site that a browser here
    has open: the name in the address has to be the loopback's (a foreign name may be made to
    lead here), and buttons and live data are for the page itself alone. Elsewhere, or where one
    is given, a token is asked for: once in the address, from then on in a cookie.

    Attributes:
        token: What has to be known; empty: nothing.
    """

    def __init__(self, host: str, token: str = "") -> None:
        """Decide by the address that is listened on.

        Args:
            host: The address.
            token: What has to be known; empty: on the loopback nothing, else one is made.

        Raises:
            ConfigError: if the token is too short, or cannot stand in an address.
        """
        sayable = token.isascii() and all(c.isalnum() or c in "-._~" for c in token)
        if token and (len(token) < SHORTEST_TOKEN or not sayable):
            raise ConfigError(
                f"the token has {len(token)} characters; allowed are at least {SHORTEST_TOKEN} "
                "letters, digits and -._~; leave it empty to have one made"
            )
        self._local = is_loopback(host)
        self.token = token or ("" if self._local else secrets.token_urlsafe(24))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, or refuse; every answer forbids what the page does not need."""
        try:
            self._check_host(request)
            if (given := request.query.get("token")) is not None and self.token:
                return self._with_cookie(request, given)
            self._check_token(request)
            if request.method != "GET" or request.headers.get("Upgrade"):
                check_origin(request)
            response = await handler(request)
        except web.HTTPException as refused:
            refused.headers.update(HEADERS)
            raise
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _check_host(self, request: web.Request) -> None:
        if self._local and urlsplit(f"//{request.host}").hostname not in LOOPBACK_NAMES:
            raise web.HTTPForbidden(text="open it as localhost or 127.0.0.1")

    def _check_token(self, request: web.Request) -> None:
        if self.token and not self._is_token(request.cookies.get(_cookie(request), "")):
            raise web.HTTPUnauthorized(
                text="open the address with ?token=... that it has said when it was started"
            )

    def _with_cookie(self, request: web.Request, given: str) -> web.StreamResponse:
        if not self._is_token(given):
            raise web.HTTPUnauthorized(text="this is not the token")
        response = web.Response(status=303, headers=HEADERS | {"Location": "/"})
        response.set_cookie(_cookie(request), given, httponly=True, samesite="Lax")
        return response

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())  # in constant time


def check_origin(request: web.Request) -> None:
    """Refuse what another site's page sends, or what does not say which page sends it.

    Raises:
        web.HTTPForbidden: if it is not the page of this server.
    """
    if request.headers.get("Origin", "") != f"{request.scheme}://{request.host}":
        raise web.HTTPForbidden(text="only the page itself may do this")


def _cookie(request: web.Request) -> str:
    """Cookies are shared by the ports of a host; each server has its own."""
    port = urlsplit(f"//{request.host}").port or 80
    return f"salus_view_{port}"
