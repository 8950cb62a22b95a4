"""What docs/study.md shows, made from the board that ships: no number in it is typed in.

parts       the parts of the study and what the board holds of each
evidence    what a part says of a claim: for, against, or undecided and what it would take
claims      the study's claims and the counter-hypotheses, each with its evidence
blocks      the document's generated blocks, by name
drawing     the figures, as SVG for light and dark
__main__    `python -m leaderboard.study`: writes blocks and figures anew
"""
