"""What is timed of our runtime, beside its peers."""
