"""Stand-in for PortOne's REST API (V2). Payments change only on request; no money moves."""
