"""What a machine is and how models run on it: device, precision, kernels, memory, and the record of all that.

Rules that depend on the hardware belong here; how many trials a machine runs at once is decided by
`harness.schedule`.

placement     attention kernel, precision and device of a model, by rule
provenance    hardware, threads, versions and commit behind a number
matmul        the rate at which the machine multiplies matrices
cores         the cores that this process may use
memory        keeps freed memory with the process while a trial runs
"""
