"""What reconstructs: direct and iterative methods, networks, and the one place that knows which network it is."""
