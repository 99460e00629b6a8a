"""Take payments"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _ascii(length: int) -> sa.types.TypeEngine[str]:
    narrow = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(narrow, "mysql", "mariadb")


def upgrade() -> None:
    _replace_kinds("'order', 'fill', 'cash', 'holding', 'payment', 'alert'")
    _create_payments()
    _create_refunds()
    _create_cancellations()
    _create_alerts()
    with op.batch_alter_table("transactions") as transactions:
        transactions.add_column(sa.Column("credit_of", ID, nullable=True))
        transactions.add_column(sa.Column("reversal_of", ID, nullable=True))
        transactions.create_foreign_key(
            op.f("fk_transactions_credit_of"), "payments", ["credit_of"], ["id"]
        )
        transactions.create_foreign_key(
            op.f("fk_transactions_reversal_of"), "payment_cancellations", ["reversal_of"], ["id"]
        )
        transactions.create_unique_constraint(op.f("uq_transactions_credit_of"), ["credit_of"])
        transactions.create_unique_constraint(op.f("uq_transactions_reversal_of"), ["reversal_of"])
        transactions.create_check_constraint(
            op.f("ck_transactions_credit"), "credit_of IS NULL OR transaction_type = 'DEPOSIT'"
        )
        transactions.create_check_constraint(
            op.f("ck_transactions_reversal"),
            "(transaction_type = 'REFUND') = (reversal_of IS NOT NULL)",
        )
    with op.batch_alter_table("virtual_balances") as balances:
        balances.add_column(sa.Column("debt", sa.BigInteger(), nullable=False, server_default="0"))
        balances.drop_constraint(op.f("ck_virtual_balances_available_cash"), type_="check")
        balances.create_check_constraint(
            op.f("ck_virtual_balances_available_cash"),
            "debt >= 0 AND cash_balance + debt >= reserved_cash AND (debt = 0 OR cash_balance + debt = reserved_cash)",
        )


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("order_name", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", _ascii(3), nullable=False),
        sa.Column("store_id", _ascii(64), nullable=False),
        sa.Column("channel_keys", _ascii(700), nullable=False),
        sa.Column("status", _ascii(32), nullable=False),
        sa.Column("reversed_amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("credited_at", INSTANT, nullable=True),
        sa.Column("reported_at", INSTANT, nullable=True),
        sa.Column("finding", _ascii(32), nullable=True),
        sa.Column("mismatches", _ascii(200), nullable=True),
        sa.Column("failure", sa.String(length=500), nullable=True),
        sa.Column("transaction_id", _ascii(255), nullable=True),
        sa.Column("receipt_url", _ascii(255), nullable=True),
        sa.Column("account_bank", _ascii(255), nullable=True),
        sa.Column("account_number", _ascii(255), nullable=True),
        sa.Column("account_expires_at", INSTANT, nullable=True),
        sa.Column("looks", sa.BigInteger(), nullable=False),
        sa.Column("hints", sa.BigInteger(), nullable=False),
        sa.Column("wake_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "status IN ('PENDING', 'EXPIRED', 'MISMATCHED', 'CREDITED', 'PARTIALLY_CANCELLED', 'CANCELLED')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.CheckConstraint("currency = 'KRW'", name=op.f("ck_payments_currency")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_payments_expires_at")),
        sa.CheckConstraint(
            "(status IN ('CREDITED', 'PARTIALLY_CANCELLED', 'CANCELLED')) = (credited_at IS NOT NULL)",
            name=op.f("ck_payments_credited_at"),
        ),
        sa.CheckConstraint(
            "reversed_amount = CASE status WHEN 'CANCELLED' THEN amount WHEN 'PARTIALLY_CANCELLED' THEN reversed_amount ELSE 0 END",
            name=op.f("ck_payments_reversed_amount"),
        ),
        sa.CheckConstraint(
            "status <> 'PARTIALLY_CANCELLED' OR (reversed_amount > 0 AND reversed_amount < amount)",
            name=op.f("ck_payments_partially_cancelled"),
        ),
        sa.CheckConstraint(
            "(status = 'MISMATCHED') = (mismatches IS NOT NULL)",
            name=op.f("ck_payments_mismatches"),
        ),
        sa.CheckConstraint(
            "status <> 'PENDING' OR wake_at IS NOT NULL", name=op.f("ck_payments_waits")
        ),
        sa.CheckConstraint("looks >= 0 AND hints >= 0", name=op.f("ck_payments_looks")),
        sa.CheckConstraint(
            "finding IS NULL OR finding IN ('ABSENT', 'OPENED', 'APPROVAL_PENDING', 'ACCOUNT_ISSUED', 'FAILED', 'PAID',"
            " 'PARTLY_CANCELLED', 'CANCELLED', 'MISMATCHED', 'CONTRADICTORY', 'UNKNOWN')",
            name=op.f("ck_payments_finding"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        **_MYSQL,
    )
    op.create_index("ix_payments_wake_at", "payments", ["wake_at", "id"], unique=False)
    op.create_index("ix_payments_user_id_id", "payments", ["user_id", "id"], unique=False)


def _create_refunds() -> None:
    op.create_table(
        "payment_refunds",
        sa.Column("id", ID, nullable=False),
        sa.Column("payment_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("status", _ascii(32), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("cancellable", sa.BigInteger(), nullable=True),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("first_sent_at", INSTANT, nullable=True),
        sa.Column("sends", sa.BigInteger(), nullable=False),
        sa.Column("looks", sa.BigInteger(), nullable=False),
        sa.Column("refusal", _ascii(64), nullable=True),
        sa.Column("cancellation_id", _ascii(255), nullable=True),
        sa.Column("failure", _ascii(64), nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("wake_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "status IN ('REQUESTED', 'IN_PROGRESS', 'SUCCEEDED', 'FAILED')",
            name=op.f("ck_payment_refunds_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payment_refunds_amount")),
        sa.CheckConstraint(
            "(cancellable IS NULL) = (first_sent_at IS NULL)",
            name=op.f("ck_payment_refunds_first_sent_at"),
        ),
        sa.CheckConstraint(
            "cancellable IS NULL OR cancellable >= amount",
            name=op.f("ck_payment_refunds_cancellable"),
        ),
        sa.CheckConstraint(
            "sends >= 0 AND looks >= 0 AND (sends = 0) = (first_sent_at IS NULL)",
            name=op.f("ck_payment_refunds_sends"),
        ),
        sa.CheckConstraint(
            "(status IN ('REQUESTED', 'IN_PROGRESS')) = (finished_at IS NULL)",
            name=op.f("ck_payment_refunds_finished_at"),
        ),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (wake_at IS NOT NULL)", name=op.f("ck_payment_refunds_wake_at")
        ),
        sa.CheckConstraint(
            "status NOT IN ('IN_PROGRESS', 'SUCCEEDED') OR cancellation_id IS NOT NULL",
            name=op.f("ck_payment_refunds_cancellation_id"),
        ),
        sa.CheckConstraint(
            "(status = 'FAILED') = (failure IS NOT NULL)", name=op.f("ck_payment_refunds_failure")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_refunds_payment_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payment_refunds_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_refunds")),
        **_MYSQL,
    )
    op.create_index(
        "ix_payment_refunds_wake_at", "payment_refunds", ["wake_at", "id"], unique=False
    )
    op.create_index(
        "ix_payment_refunds_payment_id", "payment_refunds", ["payment_id", "id"], unique=False
    )
    op.create_index(
        "ix_payment_refunds_user_id_status", "payment_refunds", ["user_id", "status"], unique=False
    )


def _create_cancellations() -> None:
    op.create_table(
        "payment_cancellations",
        sa.Column("id", ID, nullable=False),
        sa.Column("payment_id", ID, nullable=False),
        sa.Column("cancellation_id", _ascii(255), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("triggered_by", _ascii(255), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("refund_id", ID, nullable=True),
        sa.Column("booked_at", INSTANT, nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payment_cancellations_amount")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_cancellations_payment_id")
        ),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["payment_refunds.id"], name=op.f("fk_payment_cancellations_refund_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_cancellations")),
        sa.UniqueConstraint(
            "payment_id",
            "cancellation_id",
            name=op.f("uq_payment_cancellations_payment_id_cancellation_id"),
        ),
        sa.UniqueConstraint("refund_id", name=op.f("uq_payment_cancellations_refund_id")),
        **_MYSQL,
    )


def _create_alerts() -> None:
    op.create_table(
        "payment_alerts",
        sa.Column("payment_id", ID, nullable=False),
        sa.Column("kind", _ascii(32), nullable=False),
        sa.Column("detail", _ascii(200), nullable=True),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("raised_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("note", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "kind IN ('mismatch', 'contradictory', 'unknown-status', 'unexpected-report', 'disputed', 'chargeback', 'overdrawn',"
            " 'account-closed', 'look-refused', 'refund-refused', 'refund-stuck')",
            name=op.f("ck_payment_alerts_kind"),
        ),
        sa.CheckConstraint("times > 0", name=op.f("ck_payment_alerts_times")),
        sa.CheckConstraint(
            "(resolved_at IS NULL) = (note IS NULL)", name=op.f("ck_payment_alerts_note")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_alerts_payment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", "kind", name=op.f("pk_payment_alerts")),
        **_MYSQL,
    )
    op.create_index(
        "ix_payment_alerts_open", "payment_alerts", ["resolved_at", "raised_at"], unique=False
    )


def downgrade() -> None:
    """Remove payments. Their ledger entries stay. Stop if an account is in debt.

    The earlier release does not support debt.
    """
    with op.batch_alter_table("virtual_balances") as balances:
        balances.drop_constraint(op.f("ck_virtual_balances_available_cash"), type_="check")
        balances.create_check_constraint(
            op.f("ck_virtual_balances_available_cash"), "cash_balance >= reserved_cash"
        )
        balances.drop_column("debt")
    with op.batch_alter_table("transactions") as transactions:
        for check in ("credit", "reversal"):
            transactions.drop_constraint(op.f(f"ck_transactions_{check}"), type_="check")
        for column in ("credit_of", "reversal_of"):
            transactions.drop_constraint(op.f(f"fk_transactions_{column}"), type_="foreignkey")
            transactions.drop_constraint(op.f(f"uq_transactions_{column}"), type_="unique")
            transactions.drop_column(column)
    for table in ("payment_alerts", "payment_cancellations", "payment_refunds", "payments"):
        op.drop_table(table)
    # Delete events of the new kinds, which the earlier release cannot read.
    op.execute(sa.text("DELETE FROM account_events WHERE kind IN ('payment', 'alert')"))
    _replace_kinds("'order', 'fill', 'cash', 'holding'")


def _replace_kinds(kinds: str) -> None:
    name = op.f("ck_account_events_kind")
    with op.batch_alter_table("account_events") as events:
        events.drop_constraint(name, type_="check")
        events.create_check_constraint(name, f"kind IN ({kinds})")
