"""Pure arithmetic and decisions of the exchange and the broker: no I/O, no clock, no environment. Everything comes in as an argument."""
