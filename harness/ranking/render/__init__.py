"""Rankings and trials as readers see them: numbers as text, tables in a terminal, files in six formats.

What belongs here turns what is known into something to look at. What is computed, averaged or compared does not:
that is `harness.ranking` and its `statistics`. Pages are the package `leaderboard`.
"""
