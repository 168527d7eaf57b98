"""What stands at each address: one module for each dialect, and for each thing one may ask about.

A handler authenticates, decodes, lets `answering` or the house do the work and replies. It knows
addresses and headers; wire formats are the dialects' affair.
"""
