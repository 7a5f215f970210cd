"""Records with axes and units: cines, measured k-space, heart boxes, the prepared store, what an evaluation leaves."""
