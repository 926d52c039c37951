"""The networks: one file a family, `f(image_shape, num_classes, *, knobs) -> keras.Model`.

Float images (B, H, W, C) in, float32 logits (B, num_classes) out. Keras only, never TensorFlow.
"""
