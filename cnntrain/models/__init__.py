"""The networks: one file a family, `f(image_shape, num_classes, *, knobs) -> keras.Model`.

A network takes float images (B, H, W, C) and returns float32 logits (B, num_classes). It uses
Keras only, never TensorFlow. The trainer reads three things off a network: a layer named
`preprocessing` says that it takes raw pixels and needs no normalisation; a layer named `features`
says that its head begins behind this layer (else the head is the last layer); and the attribute
`pretrained` names the layers that already have weights.
"""
