"""What our modules have in common: what networks give them, and what they are handed."""
