"""What a trial is and what it leaves behind."""
