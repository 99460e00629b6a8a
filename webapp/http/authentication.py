"""Who is asking: bearer tokens, and the session in the database that each of them stands on."""

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
from trading.errors import Forbidden, Unauthorized
from webapp.context import get_core
from webapp.http.log_throttling import RefusedAttempts
from webapp.http.problems import problem

REFRESH_CLAIM = "rid"
# What the OpenAPI document says of a view that needs a bearer token.
BEARER_SECURITY: dict[str, Any] = {"security": [{"bearer": []}]}

PROOFS_KEPT_MAX = 5_000
_PROOFS = "stocking.proofs"
# The tokens, as they stand in requests, whose sessions were seen to have ended.
_ENDED = "stocking.ended"
_REFUSED_ATTEMPTS = "stocking.refused_attempts"


P = ParamSpec("P")
R = TypeVar("R")


def install(app: Flask) -> None:
    settings = app.extensions["stocking"].settings
    app.config.update(
        # A command that was given none signs nothing; the library refuses to.
        JWT_SECRET_KEY=settings.jwt_secret if settings.jwt_secret_key else None,
        JWT_ALGORITHM=ALGORITHM,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=settings.access_token_minutes),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=settings.refresh_token_days),
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ERROR_MESSAGE_KEY="detail",
    )
    app.extensions[_PROOFS] = {}
    app.extensions[_ENDED] = set()
    app.extensions[_REFUSED_ATTEMPTS] = RefusedAttempts()
    manager = JWTManager(app)
    # Why a token is refused is nobody's business: all refusals look the same.
    for refuse in (
        manager.unauthorized_loader,
        manager.invalid_token_loader,
        manager.expired_token_loader,
        manager.revoked_token_loader,
        manager.needs_fresh_token_loader,
        manager.token_verification_failed_loader,
    ):
        refuse(lambda *_why: problem("unauthorized"))


def tokens_of(sign_in: SignIn) -> dict[str, Any]:
    """A pair of tokens for a session: one to ask with, one to exchange, once, for the next pair. The request is known to be its user's."""
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
    """Require a signed-in user, and document that the view does.

    The session is read from the database each time, so a revocation counts at once.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        g.identity = _standing(_proof())
        bind_contextvars(user_id=str(g.identity.user_id))
        return view(*args, **kwargs)

    documented: Callable[P, R] = Blueprint.doc(**BEARER_SECURITY)(guarded)
    return documented


def admin_required(view: Callable[P, R]) -> Callable[P, R]:
    """A view for administrators; other users get 403 and leave a line in the log, strangers 401."""

    @login_required
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if current_user().role != "ADMIN":
            attempts: RefusedAttempts = current_app.extensions[_REFUSED_ATTEMPTS]
            rule = request.url_rule.rule if request.url_rule else None
            attempts.tell(
                "admin_access_denied",
                user_id=str(current_user().user_id),
                method=request.method,
                rule=rule,
            )
            raise Forbidden
        return view(*args, **kwargs)

    return guarded


def current_user() -> Identity:
    """The signed-in user of this request."""
    identity: Identity = g.identity
    return identity


def bearer() -> Bearer:
    """Whom this request's token stands for, and until when."""
    return _proof()


def verified_user_id() -> str | None:
    """The user whom this request's access token proves, for what is done before his session is looked up.

    None for strangers and forged tokens, and for one whose session this process has seen ended: who found it must not act as that user.
    """
    if "Authorization" not in request.headers:
        return None
    try:
        proof = _proof()
    except (JWTExtendedException, PyJWTError, Unauthorized):
        return None
    return (
        None
        if request.headers["Authorization"] in current_app.extensions[_ENDED]
        else str(proof.user_id)
    )


def proven_session() -> str | None:
    """The session whose refresh token this request bears; None for anything else."""
    try:
        session_id, _ = refresh_claims()
    except (JWTExtendedException, PyJWTError, Unauthorized):
        return None
    return session_id.hex


def refresh_claims() -> tuple[UUID, UUID]:
    """Session and refresh token id of the refresh token that this request bears."""
    verify_jwt_in_request(refresh=True)
    claims = get_jwt()
    if "exp" not in claims:
        raise Unauthorized
    return _id(claims, SESSION_CLAIM), _id(claims, REFRESH_CLAIM)


def _proof() -> Bearer:
    """What this request's access token proves. Its signature is checked at its first request; the same bytes prove the same until they expire.

    The library takes a millisecond for it. Only what a token proves for itself is remembered: its session is looked up at every request.
    """
    proofs: dict[str, Bearer] = current_app.extensions[_PROOFS]
    header = request.headers.get("Authorization", "")
    proof = proofs.get(header)
    if proof is None or proof.expires_at <= datetime.now(UTC):
        proofs.pop(header, None)
        verify_jwt_in_request()
        # Held to what the gateway asks of them, too: the library takes a token without an end, and one of any type but a refresh token's.
        proof = bearer_of(get_jwt())
        if len(proofs) >= PROOFS_KEPT_MAX:
            proofs.clear()
        proofs[header] = proof
    return proof


def _standing(proof: Bearer) -> Identity:
    identity = get_core().read(identity_of, proof.session_id)
    if identity is None or identity.user_id != proof.user_id:
        ended: set[str] = current_app.extensions[_ENDED]
        if len(ended) >= PROOFS_KEPT_MAX:
            ended.clear()
        ended.add(request.headers["Authorization"])
        raise Unauthorized
    return identity


def _id(claims: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(claims[name])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Unauthorized from None
