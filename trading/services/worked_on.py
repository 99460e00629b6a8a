"""The rows that a stage worked on, for whoever follows an order through the logs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from trading.database.rows import AnyRow


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedOn:
    """Each id once, in the order of the work. ``request_ids`` are those of the requests that placed the orders, where they are known."""

    order_ids: tuple[UUID, ...] = ()
    execution_ids: tuple[UUID, ...] = ()
    user_ids: tuple[UUID, ...] = ()
    request_ids: tuple[str, ...] = ()

    @classmethod
    def of_orders(cls, orders: Iterable[AnyRow], *, execution_ids: Iterable[UUID] = ()) -> Self:
        """By rows with the columns ``id``, ``user_id`` and ``request_id``."""
        rows = list(orders)
        return cls(
            order_ids=tuple(row.id for row in rows),
            execution_ids=tuple(execution_ids),
            user_ids=tuple(dict.fromkeys(row.user_id for row in rows)),
            request_ids=tuple(dict.fromkeys(row.request_id for row in rows if row.request_id)),
        )
