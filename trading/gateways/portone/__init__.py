"""PortOne, the payment service: a client of its REST API (V2)."""
