"""Authentication by bearer tokens, each bound to a session in the database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from flask import Flask, current_app, g, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_smorest import Blueprint
from jwt import PyJWTError
from structlog.contextvars import bind_contextvars

from trading.access_tokens import ALGORITHM, ISSUER, SESSION_CLAIM, Bearer, bearer_of
from trading.accounts.accounts import SignIn
from trading.accounts.queries import Identity, identity_of
from trading.accounts.records import Role
from trading.errors import Forbidden, Unauthorized
from webapp.context import get_core
from webapp.http.log_throttling import RefusedAttemptLog
from webapp.http.problems import problem

REFRESH_CLAIM = "rid"
# Security requirement of a view in the OpenAPI document.
BEARER_SECURITY: dict[str, Any] = {"security": [{"bearer": []}]}

CLAIMS_CACHED_MAX = 5_000
_CLAIMS = "stocking.claims"
# Authorization headers whose session was found to have ended.
_ENDED = "stocking.ended"
_REFUSED_ATTEMPTS = "stocking.refused_attempts"


P = ParamSpec("P")
R = TypeVar("R")


def install(app: Flask) -> None:
    settings = app.extensions["stocking"].settings
    app.config.update(
        # Commands run without a secret; the library then refuses to sign.
        JWT_SECRET_KEY=settings.jwt_secret if settings.jwt_secret_key else None,
        JWT_ALGORITHM=ALGORITHM,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=settings.access_token_minutes),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=settings.refresh_token_days),
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ERROR_MESSAGE_KEY="detail",
    )
    app.extensions[_CLAIMS] = {}
    app.extensions[_ENDED] = set()
    app.extensions[_REFUSED_ATTEMPTS] = RefusedAttemptLog()
    manager = JWTManager(app)
    # Every token error gets the same response, so that it does not reveal the reason.
    for register in (
        manager.unauthorized_loader,
        manager.invalid_token_loader,
        manager.expired_token_loader,
        manager.revoked_token_loader,
        manager.needs_fresh_token_loader,
        manager.token_verification_failed_loader,
    ):
        register(lambda *_reason: problem("unauthorized"))


def issue_tokens(sign_in: SignIn) -> dict[str, Any]:
    """Return an access token and a refresh token for a session.

    Also binds the user id to the request's log context.
    """
    subject = str(sign_in.user.id)
    bind_contextvars(user_id=subject)
    session = {SESSION_CLAIM: sign_in.session_id.hex}
    settings = get_core().settings
    return {
        "access_token": create_access_token(subject, additional_claims=session),
        "refresh_token": create_refresh_token(
            subject, additional_claims={**session, REFRESH_CLAIM: sign_in.refresh_token_id.hex}
        ),
        "token_type": "Bearer",
        "expires_in": settings.access_token_minutes * 60,
        "user": sign_in.user,
    }


def login_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require a signed-in user and add the security requirement to the OpenAPI document.

    The session is read from the database on every request, so a revocation takes effect at once.
    """

    @wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        g.identity = _load_identity(_verified_claims())
        bind_contextvars(user_id=str(g.identity.user_id))
        return view(*args, **kwargs)

    documented: Callable[P, R] = Blueprint.doc(**BEARER_SECURITY)(wrapper)
    return documented


def admin_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require an administrator. Other users get 403 and are logged."""

    @login_required
    @wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if current_user().role is not Role.ADMIN:
            attempts: RefusedAttemptLog = current_app.extensions[_REFUSED_ATTEMPTS]
            rule = request.url_rule.rule if request.url_rule else None
            attempts.warn(
                "admin_access_denied",
                user_id=str(current_user().user_id),
                method=request.method,
                rule=rule,
            )
            raise Forbidden
        return view(*args, **kwargs)

    return wrapper


def refresh_token_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require a well-formed, unexpired refresh token, and document that."""

    @wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        refresh_claims()
        return view(*args, **kwargs)

    documented: Callable[P, R] = Blueprint.doc(**BEARER_SECURITY)(wrapper)
    return documented


def current_user() -> Identity:
    """Return the signed-in user of this request."""
    identity: Identity = g.identity
    return identity


def bearer() -> Bearer:
    """Return the user, session and expiry of this request's access token."""
    return _verified_claims()


def verified_user_id() -> str | None:
    """Return the user id in this request's access token, before its session is looked up.

    None without a valid token, and for a token whose session this process has found to have ended:
    a stolen token must not consume the user's rate limit.
    """
    if "Authorization" not in request.headers:
        return None
    try:
        token_claims = _verified_claims()
    except (JWTExtendedException, PyJWTError, Unauthorized):
        return None
    return (
        None
        if request.headers["Authorization"] in current_app.extensions[_ENDED]
        else str(token_claims.user_id)
    )


def refresh_session_id() -> str | None:
    """Return the session id of this request's refresh token, or None for anything else."""
    try:
        session_id, _ = refresh_claims()
    except (JWTExtendedException, PyJWTError, Unauthorized):
        return None
    return session_id.hex


def refresh_claims() -> tuple[UUID, UUID]:
    """Return the session id and the refresh token id of this request's refresh token."""
    verify_jwt_in_request(refresh=True)
    claims = get_jwt()
    if "exp" not in claims:
        raise Unauthorized
    return _uuid_claim(claims, SESSION_CLAIM), _uuid_claim(claims, REFRESH_CLAIM)


def _verified_claims() -> Bearer:
    """Return the verified claims of this request's access token.

    Verifying a signature takes about a millisecond, so the claims are cached by header until they
    expire. Only the token itself is cached; its session is looked up on every request.
    """
    cache: dict[str, Bearer] = current_app.extensions[_CLAIMS]
    header = request.headers.get("Authorization", "")
    token_claims = cache.get(header)
    if token_claims is None or token_claims.expires_at <= datetime.now(UTC):
        cache.pop(header, None)
        verify_jwt_in_request()
        # Same checks as in the push gateway: the library accepts tokens without expiry, and tokens
        # of any type except refresh.
        token_claims = bearer_of(get_jwt())
        if len(cache) >= CLAIMS_CACHED_MAX:
            cache.clear()
        cache[header] = token_claims
    return token_claims


def _load_identity(token_claims: Bearer) -> Identity:
    identity = get_core().read(identity_of, token_claims.session_id)
    if identity is None or identity.user_id != token_claims.user_id:
        ended: set[str] = current_app.extensions[_ENDED]
        if len(ended) >= CLAIMS_CACHED_MAX:
            ended.clear()
        ended.add(request.headers["Authorization"])
        raise Unauthorized
    return identity


def _uuid_claim(claims: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(claims[name])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Unauthorized from None
