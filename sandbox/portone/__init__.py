"""A stand-in for PortOne: its REST API (V2) with payments that move when they are told to. No money, and never in production."""
