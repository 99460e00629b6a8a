"""Holding the lease: waiting for it as a standby, keeping it, and being gone from the market before anybody else could come."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from relayer.asyncio_compat import raise_if_cancelled
from relayer.lease.lease import (
    ABSENCE_S,
    POLL_PERIOD_S,
    RENEW_PERIOD_S,
    LeaseCandidate,
    LeaseLost,
    LeaseRecord,
    LeaseTerm,
    RedisRefuses,
    RedisUnreachable,
    boot_time,
    number_of,
)
from relayer.lease.watchdog import DeadManSwitch

log = structlog.get_logger(__name__)

STALE_LOOK_S = 2.0


class LeaseHolder:
    """One relayer's claim to the sole connection.

    ``take``, then ``keep`` beside whatever the lease is for, then ``leave`` when all of that is closed. ``lease`` is what Redis holds while it is
    ours, and None otherwise.
    """

    def __init__(
        self,
        record: LeaseRecord,
        switch: DeadManSwitch,
        *,
        absence_s: float = ABSENCE_S,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self.lease: str | None = None
        self._record = record
        self._switch = switch
        self._absence_s = absence_s
        self._now = now
        self._term = LeaseTerm(0.0)

    @property
    def number(self) -> int | None:
        """The number of the lease that is held."""
        return None if self.lease is None else number_of(self.lease)

    async def take(self) -> None:
        """Wait, for as long as it takes, until the lease is ours."""
        candidacy = LeaseCandidate(self._absence_s)
        waiting = False
        while self.lease is None:
            try:
                looked_at = self._now()
                seen = await self._record.look()
                if candidacy.may_take(seen, now=self._now()) and await self._try_to_take(looked_at):
                    break
            except (RedisRefuses, RedisUnreachable):
                candidacy.lost_sight()
            else:
                if seen.is_held and not waiting:
                    log.info("relayer_standby", holder=seen.value)
                waiting = seen.is_held
            raise_if_cancelled()
            await asyncio.sleep(POLL_PERIOD_S)
        log.info("lease_acquired", lease=self.lease)

    async def _try_to_take(self, looked_at: float) -> bool:
        sent_at = self._now()
        lease = await self._record.take()
        if lease is None:
            return False
        if self._now() - looked_at > STALE_LOOK_S:
            # Whoever was stopped between the look and this has decided by what may no longer be so.
            await self._record.release(lease)
            return False
        self.lease, self._term = lease, LeaseTerm.taken(sent_at=sent_at)
        self._switch.set(self._term.kill_at)
        return True

    async def keep(self) -> None:
        """Renew the lease until it is lost: LeaseLost is raised, in time for the connection to be dropped at once."""
        lease = self.lease
        if lease is None:
            raise LeaseLost("it was never taken")
        prolonging = asyncio.create_task(self._prolong_for_ever(lease))
        try:
            while (left_s := self._term.cut_at - self._now()) > 0:
                # Whatever the other task hangs in, this one wakes in time.
                await asyncio.wait([prolonging], timeout=left_s)
                if prolonging.done():
                    await prolonging
        finally:
            prolonging.cancel()
        raise LeaseLost("it could not be renewed in time")

    async def _prolong_for_ever(self, lease: str) -> None:
        while True:
            await asyncio.sleep(await self._prolong(lease))
            raise_if_cancelled()

    async def _prolong(self, lease: str) -> float:
        """Renew once; how long to wait before the next time."""
        sent_at = self._now()
        wait_s = RENEW_PERIOD_S
        try:
            if not await self._record.renew(lease):
                raise LeaseLost("another relayer has it")
            self._term.renewed(sent_at=sent_at)
        except RedisRefuses:
            self._term.refused(tried_at=sent_at)
            wait_s = POLL_PERIOD_S
        except RedisUnreachable:
            wait_s = POLL_PERIOD_S
        self._switch.set(self._term.kill_at)
        return wait_s

    async def leave(self) -> None:
        """The connection is closed: nobody need be killed for it, and the next relayer may come at once."""
        self._switch.disarm()
        lease, self.lease = self.lease, None
        if lease is not None:
            with suppress(RedisRefuses, RedisUnreachable):
                await self._record.release(lease)
