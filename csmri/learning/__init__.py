"""How networks are trained: the stream of items, the ways to transfer, training, export."""
