"""Training of one model, whatever it is trained for: the state that training changes, and the loop of a cohort under one
teacher.

The attempt at a trial, with its folder and checkpoints, is `harness.attempts`. What is trained, on what, and what is
reported belongs to `harness.trials`; losses to `harness.methods`; the training batches to `harness.corpora`.

feed            batches on their way to a GPU
held_out        losses, masked accuracy and perplexity on held-out text
loop            the training loop of a cohort
member          one model of a cohort with its objective
micro_batches   smaller parts of a batch where memory runs out
optimise        AdamW and its learning-rate schedule
randomness      generator states that belong to one trial
state           the training state: one save, one restore
steplog         losses of the steps, checked and reported
term_shares     each term's share of the loss and of the gradient
"""
