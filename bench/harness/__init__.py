"""How it is measured, checked, written down and drawn, whatever is measured."""
