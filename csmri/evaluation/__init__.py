"""How good an image is: metrics, and the comparison of methods on the same masks."""
