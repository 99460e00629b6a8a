"""The audit's state and account halts, for administrators."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.audit.account_halts import (
    AccountHaltRequest,
    AccountResumption,
    halt_account,
    resume_account,
)
from trading.audit.queries import audit_state
from trading.db.ids import new_id
from trading.halts.model import HaltCause
from trading.operations.admin_action_model import UNCHANGED, ActionKind, Outcome
from webapp.context import get_core
from webapp.http.admin_log import recorded, requested
from webapp.http.authentication import admin_required, current_user
from webapp.http.commands import run_command
from webapp.http.fields import Text
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Audit", "장부 감사와 계좌별 거래 중단 (관리자)")

_HALTED = "계좌의 거래를 중단했습니다. 주문 취소는 이용할 수 있습니다."
_HALTED_BEFORE = "이미 거래가 중단된 계좌입니다."
_RESUMED = "계좌의 거래를 재개했습니다. 다음 감사에서 이 계좌를 다시 확인합니다."
_NOT_HALTED = "거래가 중단된 계좌가 아닙니다."


class AuditBreachSchema(Schema):
    """An invariant that an account's last audit found violated, with a sample of the rows."""

    user_id = fields.UUID(required=True)
    check = fields.String(
        required=True,
        metadata={"example": "1a cash_balance equals the sum of the account's transactions"},
    )
    sample = fields.List(fields.String(), required=True)
    times = fields.Integer(required=True, metadata={"example": 1})
    found_at = fields.AwareDateTime(required=True)
    seen_at = fields.AwareDateTime(required=True)


class AccountHaltSchema(Schema):
    """A halt of an account, by the audit (`reason` lists the checks) or by an administrator."""

    id = fields.UUID(required=True)
    user_id = fields.UUID(required=True)
    cause = fields.String(required=True, metadata={"example": "audit-breach"})
    reason = fields.String(required=True, allow_none=True, metadata={"example": "1a, 7"})
    halted_at = fields.AwareDateTime(required=True)
    resumed_at = fields.AwareDateTime(required=True, allow_none=True)


class AuditStateSchema(Schema):
    """State of the audit.

    `run_at`, `accounts` and `duration_ms` describe the last run. `changed` counts accounts waiting
    for an audit, `unaudited` those waiting for the nightly audit, which started at `night`. At most
    100 breaches and halted accounts are listed, newest first.
    """

    run_at = fields.AwareDateTime(required=True, allow_none=True)
    accounts = fields.Integer(required=True, metadata={"example": 12})
    duration_ms = fields.Integer(required=True, metadata={"example": 41})
    accounts_total = fields.Integer(required=True, metadata={"example": 10_000})
    changed = fields.Integer(required=True, metadata={"example": 0})
    night = fields.AwareDateTime(required=True)
    unaudited = fields.Integer(required=True, metadata={"example": 0})
    oldest_audited_at = fields.AwareDateTime(required=True, allow_none=True)
    breaches = fields.List(fields.Nested(AuditBreachSchema), required=True)
    breaches_total = fields.Integer(required=True, metadata={"example": 1})
    halted = fields.List(fields.Nested(AccountHaltSchema), required=True)
    halted_total = fields.Integer(required=True, metadata={"example": 1})


class AccountHaltRequestSchema(Schema):
    """Reason of the halt, for later readers. The body is optional."""

    reason = Text(
        high=200, load_default=None, allow_none=True, metadata={"example": "고객 문의로 확인 중"}
    )


class AccountResumeRequestSchema(Schema):
    """What was found and done, for later readers."""

    note = Text(high=500, required=True, metadata={"example": "중복된 행을 바로잡음"})


class AccountResumeAnswerSchema(Schema):
    """The lifted halt; null if the account was not halted."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True, metadata={"example": "조회했습니다."})
    data = fields.Nested(AccountHaltSchema, allow_none=True)


@blueprint.route("/admin/audit")
class AuditDetail(MethodView):
    @admin_required
    @blueprint.response(200, envelope(AuditStateSchema))
    def get(self) -> dict[str, object]:
        """Get the state of the audit.

        감사 현황 조회. 최근 감사 결과와 감사 대기 계좌, 해결되지 않은 위반, 거래가 중단된 계좌를
        조회합니다.
        """
        core = get_core()
        return success(core.snapshot(audit_state, now=core.clock()))


@blueprint.route("/admin/accounts/<uuid:user_id>/halt")
class HaltAccount(MethodView):
    @admin_required
    @blueprint.arguments(AccountHaltRequestSchema)
    @blueprint.response(200, envelope(AccountHaltSchema))
    def post(self, body: dict[str, Any], user_id: UUID) -> Response:
        """Halt an account.

        계좌 거래 중단. 계좌의 신규 주문, 정정, 체결, 출금, 환불을 중단합니다. 주문을 취소하거나
        수량만 줄이는 것은 허용합니다. 이미 중단 중이면 기존 중단을 유지합니다.
        """
        command = AccountHaltRequest(
            halt_id=new_id(),
            user_id=user_id,
            cause=HaltCause.ADMINISTRATOR,
            by=current_user().user_id,
            **body,
        )
        return run_command(
            recorded(
                requested(ActionKind.HALT_ACCOUNT),
                partial(halt_account, command=command),
                outcome_of=lambda halt: Outcome(
                    "halted" if halt.id == command.halt_id else UNCHANGED, target=str(user_id)
                ),
                reason=command.reason,
            ),
            schema=envelope(AccountHaltSchema),
            message=lambda halt: _HALTED if halt.id == command.halt_id else _HALTED_BEFORE,
        )


@blueprint.route("/admin/accounts/<uuid:user_id>/resume")
class ResumeAccount(MethodView):
    @admin_required
    @blueprint.arguments(AccountResumeRequestSchema)
    @blueprint.response(200, AccountResumeAnswerSchema)
    def post(self, body: dict[str, Any], user_id: UUID) -> Response:
        """Resume an account and resolve its breaches.

        계좌 거래 재개. 계좌의 거래를 재개하고 감사 위반을 해결 처리합니다. 다음 감사에서 위반이
        다시 발견되면 다시 중단됩니다. 중단된 계좌가 아니면 `data`는 null입니다.
        """
        command = AccountResumption(user_id=user_id, by=current_user().user_id, **body)
        return run_command(
            recorded(
                requested(ActionKind.RESUME_ACCOUNT),
                partial(resume_account, command=command),
                outcome_of=lambda halt: Outcome(
                    UNCHANGED if halt is None else "resumed", target=str(user_id)
                ),
                note=command.note,
            ),
            schema=AccountResumeAnswerSchema,
            message=lambda halt: _NOT_HALTED if halt is None else _RESUMED,
        )
