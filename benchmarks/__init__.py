"""Measurements to run by hand; see README.md here. None of them is a test."""
