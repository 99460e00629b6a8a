"""Accounts: opening, sessions that rotate and end, passwords, closing."""

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
from trading.accounts.tables import SIGN_IN_SESSIONS, USERS
from trading.db.ids import new_id
from trading.errors import Unauthorized

EMAIL = "kim@example.com"


def register(harness: TradingHarness, email: str = EMAIL) -> UserRecord:
    hashed = harness.core.passwords.hash("right")
    return harness.core.run(
        accounts.register, user_id=new_id(), email=email, password_hash=hashed, name="김"
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


def stands(harness: TradingHarness, signed_in: SignIn) -> bool:
    return harness.core.read(identity_of, signed_in.session_id) is not None


def test_an_account_opens_with_its_starting_cash(harness: TradingHarness) -> None:
    """The cash is there as the first DEPOSIT, not as a figure without a Transaction."""
    user = register(harness)
    assert (user.email, user.role) == (EMAIL, "USER")
    assert cash(harness, user.id) == (10_000_000, 0)
    (opening,) = rows(
        harness, "SELECT transaction_type, sequence, amount, cash_before FROM transactions"
    )
    assert tuple(opening.values()) == ("DEPOSIT", 1, 10_000_000, 0)
    assert harness.breaches() == []


@pytest.mark.parametrize("again", [EMAIL, "KIM@example.COM", f"  {EMAIL} "])
def test_an_address_has_one_account(harness: TradingHarness, again: str) -> None:
    """In capitals or with space around it, it is the same address; the refused attempt leaves nothing."""
    register(harness)
    with pytest.raises(EmailTaken):
        register(harness, again)
    assert len(rows(harness, "SELECT user_id FROM virtual_balances")) == 1


def test_of_many_registering_one_address_one_wins(harness: TradingHarness) -> None:
    """Six threads, one account."""
    results = run_together(*[outcome(lambda: register(harness), EmailTaken)] * 6)
    assert sum(isinstance(result, UserRecord) for result in results) == 1
    assert harness.breaches() == []


def test_passwords_match_their_hash_only() -> None:
    """Argon2id, salted; nothing matches without a hash or with a broken one."""
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


def test_a_password_is_the_same_however_it_is_typed() -> None:
    """Composed, decomposed and in full width are one password (NFKC), and another is another."""
    from tests.support.trading_harness import settings_for

    passwords = Passwords(settings_for("sqlite:///x", "redis://x"))
    for stored in (COMPOSED, DECOMPOSED, WIDE):
        hashed = passwords.hash(stored)
        assert all(passwords.matches(typed, hashed) for typed in (COMPOSED, DECOMPOSED, WIDE))
        assert not any(passwords.outdated(hashed, typed) for typed in (COMPOSED, DECOMPOSED, WIDE))
        assert not passwords.matches("cafe 비밀", hashed)
    assert not passwords.matches("a" + "\u0315\u0300" * 30_000, passwords.hash("a"))


def test_a_hash_of_a_password_as_it_was_typed_still_opens_and_is_renewed(
    harness: TradingHarness,
) -> None:
    """Hashes from before passwords were normalised: he who types as then gets in, and from then on however he types."""
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
    kept = hash_of(harness, user.id)
    sign_in(harness, user.id, password=DECOMPOSED)
    assert hash_of(harness, user.id) == kept


def test_a_hash_of_older_parameters_is_renewed_at_sign_in(harness: TradingHarness) -> None:
    """It still verifies, and signing in replaces it by one of today's parameters."""
    from argon2 import PasswordHasher

    user = register(harness)
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("right")
    do(harness, lambda session: session.execute(USERS.update().values(password_hash=old)))
    assert harness.core.passwords.matches("right", old)
    sign_in(harness, user.id)
    assert hash_of(harness, user.id) != old
    assert harness.core.passwords.matches("right", hash_of(harness, user.id))


def test_refresh_tokens_rotate(harness: TradingHarness) -> None:
    """Each exchange gives a new token of the same session and a full span of life."""
    first = sign_in(harness, register(harness).id)
    harness.clock.advance(days=14, microseconds=-1)
    second = refresh(harness, first)
    assert second is not None
    assert second.session_id == first.session_id
    assert second.refresh_token_id != first.refresh_token_id
    harness.clock.advance(days=14, microseconds=-1)
    assert refresh(harness, second) is not None


def test_a_token_used_again_ends_the_session(harness: TradingHarness) -> None:
    """The old token is in two hands: it is refused, and so is the new one from then on."""
    first = sign_in(harness, register(harness).id)
    second = refresh(harness, first)
    assert second is not None
    assert refresh(harness, first) is None
    assert not stands(harness, second)
    assert refresh(harness, second) is None


def test_two_exchanges_at_once_never_give_two_good_tokens(harness: TradingHarness) -> None:
    """One token, six threads: one wins at most, and the reuse ends the session."""
    user = register(harness)
    for _ in range(5):
        first = sign_in(harness, user.id)
        results = run_together(*[lambda first=first: refresh(harness, first)] * 6)
        assert sum(result is not None for result in results) == 1
        assert not stands(harness, first)


def test_an_expired_or_unknown_session_is_refused(harness: TradingHarness) -> None:
    """At the end of its life, or one that never was."""
    first = sign_in(harness, register(harness).id)
    stranger = SignIn(session_id=uuid4(), refresh_token_id=uuid4(), user=first.user)
    assert refresh(harness, stranger) is None
    harness.clock.advance(days=14)
    assert refresh(harness, first) is None


def test_signing_out_ends_one_session_at_once(harness: TradingHarness) -> None:
    """The other session of the user stands; signing out again changes nothing."""
    user = register(harness)
    here, there = sign_in(harness, user.id), sign_in(harness, user.id)
    for _ in range(2):
        harness.core.run(accounts.sign_out, session_id=here.session_id)
    assert (stands(harness, here), stands(harness, there)) == (False, True)
    assert refresh(harness, here) is None


def test_a_new_password_ends_every_other_session(harness: TradingHarness) -> None:
    """The session that changed it stays; the old hash is good for nothing, not even for a sign-in that was under way."""
    user = register(harness)
    here, there, old = (
        sign_in(harness, user.id),
        sign_in(harness, user.id),
        hash_of(harness, user.id),
    )

    def change() -> None:
        harness.core.run(
            accounts.change_password,
            user_id=user.id,
            session_id=here.session_id,
            verified_hash=old,
            new_hash=harness.core.passwords.hash("new"),
        )

    change()
    assert (stands(harness, here), stands(harness, there)) == (True, False)
    with pytest.raises(Unauthorized):
        sign_in(harness, user.id, verified_hash=old)
    with pytest.raises(Unauthorized):
        change()


def test_old_sign_ins_are_purged_in_batches(harness: TradingHarness) -> None:
    """Those whose refresh token ran out so many days ago go, ended or not, a bounded number at a time; all others stay and still work."""
    user = register(harness).id
    old = [sign_in(harness, user) for _ in range(5)]
    harness.core.run(accounts.sign_out, session_id=old[0].session_id)
    harness.clock.advance(days=20)
    ended, standing = sign_in(harness, user), sign_in(harness, user)
    harness.core.run(accounts.sign_out, session_id=ended.session_id)

    def purged() -> int:
        return harness.core.run(accounts.purge_sessions, keep_days=7)

    harness.clock.advance(days=1, microseconds=-1)
    assert purged() == 0
    harness.clock.advance(microseconds=1)
    assert (purged(), purged()) == (5, 0)
    assert {row["id"] for row in rows(harness, "SELECT id FROM sign_in_sessions")} == {
        one.session_id.bytes for one in (ended, standing)
    }
    assert refresh(harness, old[1]) is None
    assert refresh(harness, standing) is not None


def test_a_purge_takes_no_more_than_its_batch(harness: TradingHarness) -> None:
    """Also of very many, so that no transaction holds many rows for long."""
    user = register(harness).id
    made = [
        {
            "id": new_id(), "user_id": user, "refresh_token_id": new_id(), "created_at": harness.clock(), "expires_at": harness.clock(),
            "revoked_at": None, "revoked_reason": None,
        }
        for _ in range(accounts._PURGE_BATCH + 3)
    ]  # fmt: skip
    do(harness, lambda session: session.execute(SIGN_IN_SESSIONS.insert(), made))
    harness.clock.advance(days=1)

    batches = [harness.core.run(accounts.purge_sessions, keep_days=1) for _ in range(3)]

    assert batches == [accounts._PURGE_BATCH, 3, 0]


def test_a_closed_account_is_nobody_and_its_ledger_stays(harness: TradingHarness) -> None:
    """No session stands, name and address are gone and free again; cash and Transactions are as they were."""
    user = register(harness)
    signed_in = sign_in(harness, user.id)
    harness.core.run(accounts.close_account, user_id=user.id)
    assert not stands(harness, signed_in)
    assert refresh(harness, signed_in) is None
    assert harness.core.read(credentials_by_email, EMAIL) is None
    with pytest.raises(UserNotFound):
        harness.core.read(accounts.user_of, user.id)
    assert "kim" not in str(rows(harness, "SELECT email, name FROM users")).lower()
    assert cash(harness, user.id) == (10_000_000, 0)
    assert register(harness).id != user.id
    assert harness.breaches() == []


def test_promoting_gives_the_role_at_once(harness: TradingHarness) -> None:
    """A session that stands sees it with its next request; an unknown address is refused."""
    user = register(harness)
    signed_in = sign_in(harness, user.id)
    assert harness.core.run(accounts.promote, email=" KIM@example.com").role == "ADMIN"
    identity = harness.core.read(identity_of, signed_in.session_id)
    assert identity is not None
    assert identity.role == "ADMIN"
    with pytest.raises(UserNotFound):
        harness.core.run(accounts.promote, email="nobody@example.com")
