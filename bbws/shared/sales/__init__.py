"""What is sold, ordered, paid and invoiced."""
