"""Labelled data to evaluate on."""
