"""Tests of `harness.results`, and the synthetic boards that they and the leaderboard's tests share."""
