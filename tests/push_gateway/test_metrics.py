"""The gateway's Prometheus metrics."""

from tests.push_gateway.harness import SAMSUNG, User, gateway
from trading.observability.metrics.families import FAMILIES, ProcessKind


async def test_metrics_count_clients_messages_and_problems(valkey_url: str) -> None:

    async with gateway(valkey_url) as server:
        before = await server.metrics()
        async with server.stream(User(), SAMSUNG) as one, server.websocket():
            await one.next()
            server.market.tick(70_000)
            await one.next()
            during = await server.metrics()
        await server.until(what="both are gone", clients=0, places=0)
        async with server.http.get(server.stream_url) as refused:
            assert refused.status == 401
        after = await server.metrics()
    names = {family.name for family in FAMILIES if ProcessKind.GATEWAY in family.exposed_by} - {
        "stocking_problems_total"
    }
    assert names <= {f"stocking_{name}" for name in before}
    assert (during["gateway_clients"], during["gateway_connections"]) == (1, 2)
    assert during["gateway_messages_pushed_total"] - before["gateway_messages_pushed_total"] == 2
    assert (after["gateway_clients"], after["gateway_connections"]) == (0, 0)
    assert after["unauthorized"] - before["unauthorized"] >= 1
    assert after["gateway_redis_connected"] == 1
    assert after["gateway_slow_clients_disconnected_total"] == 0
