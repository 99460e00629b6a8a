"""Client of the PortOne REST API (V2) and verification of its webhooks."""
