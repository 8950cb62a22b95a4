"""A pretended CUDA device: tensors on it are fake (`FakeTensorMode`), those on the processor are real. Values there mean
nothing, but a tensor on the wrong device is an error, and what waits for the device, or is copied to it, is counted.

A small library makes a torch without CUDA believe in one such device. It is built when the tests run, and must be loaded
before torch is imported: so all of this runs in a process of its own (`python -m tests.devices.pretended.everything`).
Streams, kernels and generators of a real device are not covered."""
