"""The tests mirror the tree. They run against real servers, started privately by ``tests.support.servers``."""
