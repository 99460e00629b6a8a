"""State machines follow their tables."""

from itertools import product
from typing import Any

import pytest

from trading.orders.model import ORDER_TRANSITIONS
from trading.payments.model import PAYMENT_TRANSITIONS
from trading.payments.refund_model import REFUND_TRANSITIONS
from trading.state_machine import ImpossibleTransition, Transitions

MACHINES = [
    pytest.param(ORDER_TRANSITIONS, id="orders"),
    pytest.param(PAYMENT_TRANSITIONS, id="payments"),
    pytest.param(REFUND_TRANSITIONS, id="refunds"),
]


@pytest.mark.parametrize("machine", MACHINES)
def test_event_leads_where_the_table_says_or_raises(machine: Transitions[Any, Any]) -> None:
    state, event = next(iter(machine.table))
    for pair in product(type(state), type(event)):
        if pair in machine.table:
            assert machine.after(*pair) is machine.table[pair]
        else:
            with pytest.raises(ImpossibleTransition):
                machine.after(*pair)


@pytest.mark.parametrize("machine", MACHINES)
def test_final_state_allows_no_event(machine: Transitions[Any, Any]) -> None:
    final = {state for state in machine.table.values() if machine.is_final(state)}
    assert final
    assert final.isdisjoint(before for before, _event in machine.table)


@pytest.mark.parametrize("machine", MACHINES)
def test_diagram_has_every_arrow_and_every_final_state(machine: Transitions[Any, Any]) -> None:
    final = {state for state in machine.table.values() if machine.is_final(state)}
    lines = [line.strip() for line in machine.diagram().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    assert lines[1].startswith("[*] --> ")
    assert set(lines[2:]) == {
        *(f"{before} --> {after}: {event}" for (before, event), after in machine.table.items()),
        *(f"{state} --> [*]" for state in final),
    }
