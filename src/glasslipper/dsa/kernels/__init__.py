"""Kernels: C++ for a decoding step on the CPU, Triton for GPUs.

Each is held against the plain torch path and the float64 specification. `native` needs NumPy
and a C++20 compiler, the others torch and Triton.
"""
