"""Holdings with live value, returns, statistics and daily snapshots."""
