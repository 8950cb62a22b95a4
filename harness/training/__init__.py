"""Training of one model, whatever it is trained for: the state that training changes, one attempt at a trial with its
folder and checkpoints, and the loop of a cohort under one teacher.

What is trained, on what, and what is reported belongs to `harness.trials`; losses to `harness.methods`; the training
batches to `harness.corpora`.

attempt         one attempt at a trial: folder, checkpoints, progress, result
cadence         between two steps: when to save, when to stop
checkpoints     checkpoint files: written atomically, verified when read
faults          from an exception to the reason that is recorded
feed            batches on their way to a GPU
held_out        losses, masked accuracy and perplexity on held-out text
loop            the training loop of a cohort
member          one model of a cohort with its objective
micro_batches   smaller parts of a batch where memory runs out
optimise        AdamW and its learning-rate schedule
process_group   several processes that train one cohort
randomness      generator states that belong to one trial
saved           what a checkpoint says besides its tensors
site            where trials run: folders, device, stop, workers
state           the training state: one save, one restore
steplog         losses of the steps, checked and reported
term_shares     each term's share of the loss and of the gradient
"""
