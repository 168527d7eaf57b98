"""DeepSeek Sparse Attention on a model that was trained without it.

Read `reference` first: it is the specification, in plain numpy. Nothing here imports another
room, nothing here touches the network, and only `reference` works without torch (`[dsa]`).
"""
