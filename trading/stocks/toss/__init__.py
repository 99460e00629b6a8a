"""Client of the Toss REST API with a response cache and a circuit breaker."""
