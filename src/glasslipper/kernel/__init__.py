"""The words that every room shares: messages, events, usage, money, ids, errors and ports.

Nothing here does I/O, keeps state or knows a provider. Import from the modules themselves:
their list is the vocabulary.
"""
