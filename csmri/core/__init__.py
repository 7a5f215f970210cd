"""What knows nothing of MRI: the one exception, files, seeds, provenance, and the one vocabulary of names."""
