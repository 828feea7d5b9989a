"""New test instances and other losses from kept models: forward passes, no retrain."""
