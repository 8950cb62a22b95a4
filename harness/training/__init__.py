"""What every trial that trains stands on: one attempt at a trial (its folder, checkpoints, faults by name), the one training
loop with its members, optimiser, generators and held-out text. What is trained, and on what, is decided by the rooms above:
`harness.trials`.
"""
