"""What the toy worker does with a block, by its number."""

FINE, TRANSIENT, PERMANENT, BUG, OUTAGE, KILLED, KILLED_ONCE, SLOW, MEMORY, AWAY, REFUSED = range(11)
