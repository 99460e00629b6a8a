"""Push gateway: streams ticks and account events to clients by server-sent events and WebSocket.

It reads Redis only, neither the database nor Toss. ``trading.account_events.push_session`` decides
what a client receives.
"""
