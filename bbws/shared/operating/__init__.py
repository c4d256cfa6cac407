"""What operators do with the system itself."""
