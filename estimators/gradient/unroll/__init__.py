"""Methods that differentiate a whole run of training, step by step, as it was recorded."""
