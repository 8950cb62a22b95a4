"""Properties of the machine and how models run on it: device, precision, kernels, memory, and their record.

Rules that depend on the hardware belong here; how many trials run at once is decided by `harness.schedule`.

placement     attention kernel, precision and device of a model, by rule
provenance    hardware, threads, versions and commit behind a number
matmul        the rate at which the machine multiplies matrices
cores         the cores that this process may use
quick_peak    a rough rate of matrix products without torch, beside whatever else runs
device        what differs between the processor and accelerators
memory        keeps freed memory with the process while a trial runs
"""
