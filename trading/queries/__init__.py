"""Views of the data, one file each: they read, lock nothing and return plain frozen records."""
