"""Settings of the sandbox's tests."""

from hypothesis import settings

# What a property proves does not depend on how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
