"""Encoders: loading, building, tapping, exporting."""
