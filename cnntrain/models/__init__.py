"""The networks: one file a family, `f(image_shape, num_classes, *, knobs) -> keras.Model`.

Float images (B, H, W, C) in, float32 logits (B, num_classes) out. Keras only, never TensorFlow.
What the trainer reads off a network: a layer named `preprocessing` says that it takes raw pixels
and needs no normalisation, a layer named `features` that its head begins behind it (else the head
is the last layer), and the attribute `pretrained` names the layers that already have weights.
"""
