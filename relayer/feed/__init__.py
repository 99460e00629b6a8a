"""The feed connection: interface, STOMP over WebSocket, subscriptions, supervisor."""
