"""What each term computes; needs torch."""
