"""PortOne, the payment service: a client of its REST API (V2), and the check of the webhooks that it sends."""
