"""Arithmetic that several losses share."""
