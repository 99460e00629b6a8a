"""Local stand-ins for Toss and PortOne, for laptops, tests and the demo."""
