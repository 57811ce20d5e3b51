"""One file per operation of the table, named after it."""
