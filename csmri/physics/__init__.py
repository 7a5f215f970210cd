"""The physics of k-t undersampled cine, each function written once in TensorFlow ops.

Everything works the same on NumPy arrays (eagerly) and inside `tf.data`. kx is fully read, so simulation stays in
hybrid space (..., frame, ky, x), where the transform along x cancels.
"""
