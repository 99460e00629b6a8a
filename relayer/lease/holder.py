"""Acquire the lease as a standby, renew it, and disconnect before any other relayer can connect."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from relayer.asyncio_compat import raise_if_cancelled
from relayer.lease.record import (
    GRACE_S,
    POLL_PERIOD_S,
    RENEW_PERIOD_S,
    LeaseCandidate,
    LeaseLost,
    LeaseRecord,
    LeaseTerm,
    RedisDown,
    RedisUnreachable,
    boot_time,
    number_of,
)
from relayer.lease.watchdog import Watchdog

log = structlog.get_logger(__name__)

SNAPSHOT_MAX_AGE_S = 2.0


class LeaseHolder:
    """One relayer's claim to the only feed connection.

    Call ``acquire``, then ``hold`` beside the work that needs the lease, then ``release`` when the
    connection is closed. ``lease`` is the value in Redis while this process holds it, else None.
    """

    def __init__(
        self,
        record: LeaseRecord,
        watchdog: Watchdog,
        *,
        grace_s: float = GRACE_S,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self.lease: str | None = None
        self._record = record
        self._watchdog = watchdog
        self._grace_s = grace_s
        self._now = now
        self._term = LeaseTerm(0.0)

    @property
    def number(self) -> int | None:
        """Number of the lease that is held."""
        return None if self.lease is None else number_of(self.lease)

    async def acquire(self) -> None:
        """Wait without a time limit until the lease is acquired."""
        candidate = LeaseCandidate(self._grace_s)
        waiting = False
        while self.lease is None:
            try:
                read_at = self._now()
                snapshot = await self._record.read()
                if candidate.may_acquire(snapshot, now=self._now()) and await self._try_acquire(
                    read_at
                ):
                    break
            except (RedisDown, RedisUnreachable):
                candidate.reset()
            else:
                if snapshot.is_held and not waiting:
                    log.info("relayer_standby", holder=snapshot.value)
                waiting = snapshot.is_held
            raise_if_cancelled()
            await asyncio.sleep(POLL_PERIOD_S)
        log.info("lease_acquired", lease=self.lease)

    async def _try_acquire(self, read_at: float) -> bool:
        sent_at = self._now()
        lease = await self._record.acquire()
        if lease is None:
            return False
        if self._now() - read_at > SNAPSHOT_MAX_AGE_S:
            # The process was stopped between reading and acquiring, so the decision may be
            # outdated.
            await self._record.release(lease)
            return False
        self.lease, self._term = lease, LeaseTerm.acquired(sent_at=sent_at)
        self._watchdog.set(self._term.kill_at)
        return True

    async def hold(self) -> None:
        """Renew the lease until it is lost, then raise LeaseLost.

        It is raised early enough to drop the connection.
        """
        lease = self.lease
        if lease is None:
            raise LeaseLost("it was never acquired")
        renewing = asyncio.create_task(self._renew_periodically(lease))
        try:
            while (left_s := self._term.disconnect_at - self._now()) > 0:
                # This task wakes in time even if the renewal hangs.
                await asyncio.wait([renewing], timeout=left_s)
                if renewing.done():
                    await renewing
        finally:
            renewing.cancel()
        raise LeaseLost("it could not be renewed in time")

    async def _renew_periodically(self, lease: str) -> None:
        while True:
            await asyncio.sleep(await self._renew_once(lease))
            raise_if_cancelled()

    async def _renew_once(self, lease: str) -> float:
        """Renew once and return the seconds until the next renewal."""
        sent_at = self._now()
        wait_s = RENEW_PERIOD_S
        try:
            if not await self._record.renew(lease):
                raise LeaseLost("another relayer holds it")
            self._term.renewed(sent_at=sent_at)
        except RedisDown:
            self._term.refused(tried_at=sent_at)
            wait_s = POLL_PERIOD_S
        except RedisUnreachable:
            wait_s = POLL_PERIOD_S
        self._watchdog.set(self._term.kill_at)
        return wait_s

    async def release(self) -> None:
        """Disarm the watchdog and free the lease. Call only after the connection is closed."""
        self._watchdog.disarm()
        lease, self.lease = self.lease, None
        if lease is not None:
            with suppress(RedisDown, RedisUnreachable):
                await self._record.release(lease)
