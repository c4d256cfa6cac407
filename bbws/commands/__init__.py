"""What the commands of `bbws` do, under the names that they have there."""
