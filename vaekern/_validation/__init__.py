"""Opt-in checks of values: ``switch.py`` has the switch, ``checks.py`` what is looked at."""
