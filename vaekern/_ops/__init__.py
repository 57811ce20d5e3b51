"""An operation and torch: the table of them, how they are registered, called and differentiated."""
