"""Tests of accounts: registration, sign-in sessions, passwords, closing."""

from uuid import UUID, uuid4

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import cash, do, rows
from tests.trading.threads import outcome, run_together
from trading.accounts import accounts
from trading.accounts.accounts import Passwords, SignIn
from trading.accounts.errors import EmailTaken, UserNotFound
from trading.accounts.queries import credentials_by_email, credentials_of, identity_of
from trading.accounts.records import UserRecord
from trading.accounts.tables import USERS
from trading.db.ids import new_id
from trading.errors import Unauthorized

EMAIL = "kim@example.com"


def register(harness: TradingHarness, email: str = EMAIL) -> UserRecord:
    hashed = harness.core.passwords.hash("right")
    return harness.core.run(
        accounts.register,
        accounts.RegisterUser(user_id=new_id(), email=email, password_hash=hashed, name="김"),
    )


def hash_of(harness: TradingHarness, user: UUID) -> str:
    found = harness.core.read(credentials_of, user)
    assert found is not None
    return found.password_hash


def sign_in(
    harness: TradingHarness,
    user: UUID,
    verified_hash: str | None = None,
    password: str = "right",  # noqa: S107
) -> SignIn:
    hashed = verified_hash or hash_of(harness, user)
    return harness.core.run(
        accounts.sign_in,
        user_id=user,
        verified_hash=hashed,
        passwords=harness.core.passwords,
        password=password,
    )


def refresh(harness: TradingHarness, signed_in: SignIn, token: UUID | None = None) -> SignIn | None:
    return harness.core.run(
        accounts.refresh,
        session_id=signed_in.session_id,
        refresh_token_id=token or signed_in.refresh_token_id,
        renewed_token_id=new_id(),
    )


def is_active(harness: TradingHarness, signed_in: SignIn) -> bool:
    return harness.core.read(identity_of, signed_in.session_id) is not None


def test_registration_credits_the_starting_cash_as_a_deposit(harness: TradingHarness) -> None:
    user = register(harness)
    assert (user.email, user.role) == (EMAIL, "USER")
    assert cash(harness, user.id) == (10_000_000, 0)
    (opening,) = rows(
        harness, "SELECT transaction_type, sequence, amount, cash_before FROM transactions"
    )
    assert tuple(opening.values()) == ("DEPOSIT", 1, 10_000_000, 0)
    assert harness.breaches() == []


@pytest.mark.parametrize("address", [EMAIL, "KIM@example.COM", f"  {EMAIL} "])
def test_email_address_can_be_registered_once(harness: TradingHarness, address: str) -> None:
    """Case and surrounding spaces do not make a different address; the refused attempt writes no
    row.
    """
    register(harness)
    with pytest.raises(EmailTaken):
        register(harness, address)
    assert len(rows(harness, "SELECT user_id FROM virtual_balances")) == 1


def test_concurrent_registrations_of_one_address_open_one_account(harness: TradingHarness) -> None:
    results = run_together(*[outcome(lambda: register(harness), EmailTaken)] * 6)
    assert sum(isinstance(result, UserRecord) for result in results) == 1
    assert harness.breaches() == []


def test_password_matches_only_its_own_hash() -> None:
    """Hashes are Argon2id and salted; a missing, empty or malformed hash matches no password."""
    from tests.support.trading_harness import settings_for

    passwords = Passwords(settings_for("sqlite:///x", "redis://x"))
    hashed = passwords.hash("비밀번호")
    assert hashed.startswith("$argon2id$")
    assert hashed != passwords.hash("비밀번호")
    assert passwords.matches("비밀번호", hashed)
    assert not any(
        passwords.matches(*case)
        for case in (("other", hashed), ("x", None), ("x", ""), ("x", "broken"))
    )


COMPOSED, DECOMPOSED, WIDE = (
    "caf\u00e9 \ube44\ubc00",
    "cafe\u0301 \u1107\u1175\u1106\u1175\u11af",
    "ｃａｆé 비밀",
)


def test_unicode_forms_of_a_password_are_equal() -> None:
    """Composed, decomposed and full-width characters are equal under NFKC."""
    from tests.support.trading_harness import settings_for

    passwords = Passwords(settings_for("sqlite:///x", "redis://x"))
    for stored in (COMPOSED, DECOMPOSED, WIDE):
        hashed = passwords.hash(stored)
        assert all(passwords.matches(typed, hashed) for typed in (COMPOSED, DECOMPOSED, WIDE))
        assert not any(passwords.outdated(hashed, typed) for typed in (COMPOSED, DECOMPOSED, WIDE))
        assert not passwords.matches("cafe 비밀", hashed)
    assert not passwords.matches("a" + "\u0315\u0300" * 30_000, passwords.hash("a"))


def test_hash_of_an_unnormalized_password_is_replaced_at_sign_in(
    harness: TradingHarness,
) -> None:
    """Hashes from before normalization match only the form that was typed then.

    After a sign-in with that form, every form matches.
    """
    from argon2 import PasswordHasher

    user = register(harness)
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(DECOMPOSED)
    do(harness, lambda session: session.execute(USERS.update().values(password_hash=old)))
    assert harness.core.passwords.matches(DECOMPOSED, old)
    assert not harness.core.passwords.matches(COMPOSED, old)

    sign_in(harness, user.id, password=DECOMPOSED)

    assert hash_of(harness, user.id) != old
    assert all(
        harness.core.passwords.matches(typed, hash_of(harness, user.id))
        for typed in (COMPOSED, DECOMPOSED)
    )
    renewed = hash_of(harness, user.id)
    sign_in(harness, user.id, password=DECOMPOSED)
    assert hash_of(harness, user.id) == renewed


def test_hash_of_outdated_parameters_is_replaced_at_sign_in(harness: TradingHarness) -> None:
    from argon2 import PasswordHasher

    user = register(harness)
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("right")
    do(harness, lambda session: session.execute(USERS.update().values(password_hash=old)))
    assert harness.core.passwords.matches("right", old)
    sign_in(harness, user.id)
    assert hash_of(harness, user.id) != old
    assert harness.core.passwords.matches("right", hash_of(harness, user.id))


def test_refresh_returns_a_new_token_with_the_full_lifetime(harness: TradingHarness) -> None:
    first = sign_in(harness, register(harness).id)
    harness.clock.advance(days=14, microseconds=-1)
    second = refresh(harness, first)
    assert second is not None
    assert second.session_id == first.session_id
    assert second.refresh_token_id != first.refresh_token_id
    harness.clock.advance(days=14, microseconds=-1)
    assert refresh(harness, second) is not None


def test_refresh_of_an_expired_or_unknown_session_is_refused(harness: TradingHarness) -> None:
    first = sign_in(harness, register(harness).id)
    unknown = SignIn(session_id=uuid4(), refresh_token_id=uuid4(), user=first.user)
    assert refresh(harness, unknown) is None
    harness.clock.advance(days=14)
    assert refresh(harness, first) is None


def test_sign_out_ends_only_its_session_and_is_idempotent(harness: TradingHarness) -> None:
    user = register(harness)
    current, other = sign_in(harness, user.id), sign_in(harness, user.id)
    for _ in range(2):
        harness.core.run(accounts.sign_out, session_id=current.session_id)
    assert (is_active(harness, current), is_active(harness, other)) == (False, True)
    assert refresh(harness, current) is None


def test_password_change_ends_all_other_sessions(harness: TradingHarness) -> None:
    """The old hash is refused afterwards, also for a sign-in that verified it before the change."""
    user = register(harness)
    current, other, old = (
        sign_in(harness, user.id),
        sign_in(harness, user.id),
        hash_of(harness, user.id),
    )

    def change() -> None:
        harness.core.run(
            accounts.change_password,
            accounts.ReplacePassword(
                user_id=user.id,
                session_id=current.session_id,
                verified_hash=old,
                new_hash=harness.core.passwords.hash("new"),
            ),
        )

    change()
    assert (is_active(harness, current), is_active(harness, other)) == (True, False)
    with pytest.raises(Unauthorized):
        sign_in(harness, user.id, verified_hash=old)
    with pytest.raises(Unauthorized):
        change()


def test_closing_an_account_erases_personal_data_and_keeps_the_ledger(
    harness: TradingHarness,
) -> None:
    """All sessions end, and the email address can be registered again."""
    user = register(harness)
    signed_in = sign_in(harness, user.id)
    harness.core.run(accounts.close_account, user_id=user.id)
    assert not is_active(harness, signed_in)
    assert refresh(harness, signed_in) is None
    assert harness.core.read(credentials_by_email, EMAIL) is None
    with pytest.raises(UserNotFound):
        harness.core.read(accounts.user_of, user.id)
    assert "kim" not in str(rows(harness, "SELECT email, name FROM users")).lower()
    assert cash(harness, user.id) == (10_000_000, 0)
    assert register(harness).id != user.id
    assert harness.breaches() == []


def test_promotion_applies_to_existing_sessions(harness: TradingHarness) -> None:
    user = register(harness)
    signed_in = sign_in(harness, user.id)
    assert harness.core.run(accounts.promote, email=" KIM@example.com").role == "ADMIN"
    identity = harness.core.read(identity_of, signed_in.session_id)
    assert identity is not None
    assert identity.role == "ADMIN"
    with pytest.raises(UserNotFound):
        harness.core.run(accounts.promote, email="nobody@example.com")
