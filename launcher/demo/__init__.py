"""Demo: a new user's trading day through the public API, with all sums recomputed."""
