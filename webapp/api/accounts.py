"""Accounts: registration, login, tokens, profile and password."""

from functools import partial
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields
from structlog.contextvars import bind_contextvars

from trading.accounts import accounts
from trading.accounts.accounts import SignIn
from trading.accounts.errors import WrongPassword
from trading.accounts.queries import (
    Credentials,
    credentials_by_email,
    credentials_of,
    identity_of,
)
from trading.db.ids import new_id
from trading.errors import Unauthorized
from trading.payments.close_account import CloseAccount, close_account
from trading.problems import MIMETYPE
from trading.unit_of_work import UnitOfWork
from webapp.context import get_core
from webapp.http.authentication import (
    current_user,
    issue_tokens,
    login_required,
    refresh_claims,
    refresh_token_required,
)
from webapp.http.commands import is_created, run_command
from webapp.http.fields import EmailAddress, Line, Password
from webapp.http.login_throttling import login_attempt
from webapp.http.openapi import make_blueprint
from webapp.http.password_messages import check_new_password
from webapp.http.revocations import publish_recent_revocations, publish_revocation
from webapp.http.schemas import ProblemSchema, TaskResultSchema, envelope, success

blueprint = make_blueprint("Accounts", "가입, 로그인, 내 정보")


class RegistrationSchema(Schema):
    email = EmailAddress(required=True, metadata={"example": "me@example.com"})
    password = Password(required=True, example="correct horse")
    name = Line(high=50, required=True, metadata={"example": "나투자"})


class LoginSchema(Schema):
    email = fields.String(required=True, metadata={"example": "me@example.com"})
    password = fields.String(required=True, load_only=True, metadata={"example": "correct horse"})


class UserSchema(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True, metadata={"example": "me@example.com"})
    name = fields.String(required=True, metadata={"example": "나투자"})
    role = fields.String(required=True, metadata={"example": "USER"})
    created_at = fields.AwareDateTime(required=True)


class TokensSchema(Schema):
    access_token = fields.String(
        required=True, metadata={"example": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMWEyMDRmMCJ9.3q2-7w"}
    )
    refresh_token = fields.String(
        required=True, metadata={"example": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMWEyMDRmMCJ9.3q2-7w"}
    )
    token_type = fields.String(required=True, metadata={"example": "Bearer"})
    expires_in = fields.Integer(
        required=True,
        metadata={"description": "액세스 토큰 만료까지 남은 시간 (초)", "example": 900},
    )
    user = fields.Nested(UserSchema, required=True)


class ProfileSchema(Schema):
    name = Line(high=50, required=True, metadata={"example": "나투자"})


class PasswordChangeSchema(Schema):
    current_password = fields.String(
        required=True, load_only=True, metadata={"example": "correct horse"}
    )
    new_password = Password(required=True, example="battery staple")


class ClosureSchema(Schema):
    password = fields.String(required=True, load_only=True, metadata={"example": "correct horse"})
    forfeit_refundable = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={
            "example": False,
            "description": "환불할 수 있는 결제 금액이 남아 있어도 환불을 포기하고 탈퇴",
        },
    )


@blueprint.route("/users")
class UserList(MethodView):
    @blueprint.arguments(RegistrationSchema)
    @blueprint.response(201, envelope(UserSchema))
    @blueprint.alt_response(
        409, schema=ProblemSchema, content_type=MIMETYPE, description="email-taken"
    )
    def post(self, body: dict[str, Any]) -> Response:
        """Register a user and open an account.

        회원 가입. 계좌를 함께 개설하고 시작 자금을 입금합니다.
        """
        check_new_password(
            body["password"], field="password", email=body["email"], name=body["name"]
        )
        command = accounts.RegisterUser(
            user_id=new_id(),
            email=body["email"],
            password_hash=get_core().passwords.hash(body["password"]),
            name=body["name"],
        )
        answer = run_command(
            partial(accounts.register, command=command),
            schema=envelope(UserSchema),
            status=201,
            message="회원 가입이 완료되었습니다.",
            location="/api/v1/users/me",
        )
        if is_created(answer):
            bind_contextvars(user_id=str(command.user_id))
        return answer


@blueprint.route("/users/login")
class Login(MethodView):
    @blueprint.arguments(LoginSchema)
    @blueprint.response(200, envelope(TokensSchema))
    @blueprint.alt_response(
        429,
        schema=ProblemSchema,
        content_type=MIMETYPE,
        description="rate-limited, sign-in-locked. Retry-After를 확인해 주세요.",
    )
    def post(self, body: dict[str, Any]) -> dict[str, object]:
        """Log in.

        로그인. 이메일과 비밀번호를 확인하고 토큰을 발급합니다. 가입하지 않은 이메일과 틀린
        비밀번호는 같은 오류로, 같은 시간이 걸려 응답합니다.
        """
        core = get_core()
        email = accounts.normalized_email(body["email"])
        with login_attempt(email):
            known = core.read(credentials_by_email, email) if _storable(email) else None
            credentials = _verified(known, body["password"])
            sign_in = core.run(
                accounts.sign_in,
                user_id=credentials.user_id,
                verified_hash=credentials.password_hash,
                passwords=core.passwords,
                password=body["password"],
            )
        return success(_tokens(sign_in), "로그인했습니다.")


@blueprint.route("/users/refresh")
class RefreshTokens(MethodView):
    @refresh_token_required
    @blueprint.response(200, envelope(TokensSchema))
    def post(self) -> dict[str, object]:
        """Exchange a refresh token for new tokens.

        토큰 재발급. 리프레시 토큰을 Bearer로 보내면 새 토큰 한 쌍을 발급합니다. 응답을 받지
        못했거나 두 탭이 동시에 요청한 경우를 위해, 처음 쓴 뒤 10초 동안은 같은 토큰으로 다시
        발급받을 수 있습니다. 그 뒤에 다시 쓰면 세션이 종료됩니다.
        """
        session_id, refresh_token_id = refresh_claims()
        core, renewed_token_id = get_core(), new_id()
        renewed = core.run(
            accounts.refresh,
            session_id=session_id,
            refresh_token_id=refresh_token_id,
            renewed_token_id=renewed_token_id,
        )
        if renewed is None:
            publish_revocation(
                [session_id]
            )  # Reusing the token has just ended the session, unless it had ended before.
            raise Unauthorized
        return success(_tokens(renewed), "로그인을 연장했습니다.")


@blueprint.route("/users/logout")
class Logout(MethodView):
    @login_required
    @blueprint.response(200, TaskResultSchema)
    def post(self) -> Response:
        """Log out.

        로그아웃. 현재 세션을 종료합니다. 이 세션의 토큰은 바로 사용할 수 없게 됩니다.
        """
        session_id = current_user().session_id
        answer = run_command(
            partial(accounts.sign_out, session_id=session_id),
            schema=TaskResultSchema,
            message="로그아웃했습니다.",
        )
        publish_revocation([session_id])
        return answer


@blueprint.route("/users/me")
class CurrentUserDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(UserSchema))
    def get(self) -> dict[str, object]:
        """Get your profile.

        내 정보 조회. 로그인한 사용자의 정보를 조회합니다.
        """
        user_id = current_user().user_id
        return success(get_core().read(accounts.user_of, user_id))

    @login_required
    @blueprint.arguments(ProfileSchema)
    @blueprint.response(200, envelope(UserSchema))
    def patch(self, body: dict[str, Any]) -> dict[str, object]:
        """Change your name.

        내 정보 변경. 이름을 변경합니다.
        """
        user_id = current_user().user_id
        changed = get_core().run(accounts.rename, user_id=user_id, name=body["name"])
        return success(changed, "내 정보를 변경했습니다.")

    @login_required
    @blueprint.arguments(ClosureSchema)
    @blueprint.response(200, TaskResultSchema)
    @blueprint.alt_response(
        403, schema=ProblemSchema, content_type=MIMETYPE, description="wrong-password"
    )
    @blueprint.alt_response(
        409,
        schema=ProblemSchema,
        content_type=MIMETYPE,
        description="payment-under-way, refunds-forfeited",
    )
    @blueprint.alt_response(
        429, schema=ProblemSchema, content_type=MIMETYPE, description="rate-limited, sign-in-locked"
    )
    def delete(self, body: dict[str, Any]) -> dict[str, object]:
        """Close your account.

        회원 탈퇴. 비밀번호를 확인하고, 미체결 주문을 취소하고, 개인 정보와 관심 종목을 지웁니다.
        거래 원장은 개인 정보 없이 보관합니다. 결제나 환불이 진행 중이면 탈퇴할 수 없습니다. 환불할
        수 있는 결제 금액이 남아 있으면 `forfeit_refundable`이 `true`일 때만 탈퇴합니다.
        """
        core, user_id = get_core(), current_user().user_id
        email = core.read(accounts.user_of, user_id).email
        try:
            with login_attempt(email):
                known = core.read(credentials_of, user_id)
                credentials = _verified(known, body["password"])
        except Unauthorized:
            raise WrongPassword from None
        command = CloseAccount(
            user_id=user_id,
            verified_hash=credentials.password_hash,
            forfeit_refundable=body["forfeit_refundable"],
        )
        core.run(close_account, command)
        publish_recent_revocations(user_id)
        return success(None, "회원 탈퇴가 완료되었습니다.")


@blueprint.route("/users/me/password")
class ChangePassword(MethodView):
    @login_required
    @blueprint.arguments(PasswordChangeSchema)
    @blueprint.response(200, TaskResultSchema)
    def post(self, body: dict[str, Any]) -> Response:
        """Change your password.

        비밀번호 변경. 비밀번호를 변경합니다. 현재 세션을 제외한 모든 세션이 종료됩니다.
        """
        core, identity = get_core(), current_user()
        user = core.read(accounts.user_of, identity.user_id)
        check_new_password(
            body["new_password"], field="new_password", email=user.email, name=user.name
        )
        new_hash = core.passwords.hash(body["new_password"])

        def change_password(uow: UnitOfWork) -> None:
            # After the key is claimed, because a repetition carries a password that is no longer
            # current. This read ends before the transaction's first statement, so nothing is
            # locked while the hash is computed.
            known = core.read(credentials_of, identity.user_id)
            credentials = _verified(known, body["current_password"])
            command = accounts.ReplacePassword(
                user_id=identity.user_id,
                session_id=identity.session_id,
                verified_hash=credentials.password_hash,
                new_hash=new_hash,
            )
            accounts.change_password(uow, command)

        answer = run_command(
            change_password, schema=TaskResultSchema, message="비밀번호를 변경했습니다."
        )
        publish_recent_revocations(identity.user_id)
        return answer


def _tokens(signed_in: SignIn) -> dict[str, object]:
    """Return tokens of a session. Raises Unauthorized if it has ended since its transaction."""
    if get_core().read(identity_of, signed_in.session_id) is None:
        raise Unauthorized
    return issue_tokens(signed_in)


def _verified(known: Credentials | None, password: str) -> Credentials:
    """Return the credentials if the password matches; raise Unauthorized otherwise.

    Takes equally long without an account.
    """
    proven = _storable(password) and get_core().passwords.matches(
        password, None if known is None else known.password_hash
    )
    if known is None or not proven:
        raise Unauthorized
    return known


def _storable(text: str) -> bool:
    """Return True if the text can be stored or hashed: JSON strings may contain lone surrogates."""
    return (len(text) <= 1_000 and text.isascii()) or not any(
        "\ud800" <= character <= "\udfff" for character in text
    )
