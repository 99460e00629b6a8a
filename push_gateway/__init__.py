"""The gateway: pushes ticks and account events to thousands of clients, over server-sent events and WebSockets.

It reads Redis and nothing else: neither the database nor Toss. What a client is told is decided in trading.account_events.push_session.
"""
