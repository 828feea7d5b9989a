"""The driver's loop: pure decisions, one place that waits, pools behind one protocol."""
