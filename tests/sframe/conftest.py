"""Property tests draw the same examples each time, and a slow machine fails none of them."""

from hypothesis import settings

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")
