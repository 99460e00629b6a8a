"""Stand-ins for the outside world on loopback: a laptop, the tests and a demo need no contract with anyone. Never in production."""
