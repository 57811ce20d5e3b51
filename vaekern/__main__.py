"""``python -m vaekern``: the configuration, for a bug report."""

from vaekern._backends.config import show_config

show_config()
