"""The board as one page to pass on: its text, its table and its drawings.

What belongs here is HTML or SVG that stands by itself. Pages that are served are the package `leaderboard`.
"""
