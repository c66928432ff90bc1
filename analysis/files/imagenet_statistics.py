"""Mean and standard deviation by which pixels are normalised where a network does not say otherwise."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of the photographs of ImageNet: R, G, B, pixels in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)

CAFFE_MEAN = (123.0, 117.0, 104.0)
"""Of R, G, B from 0 to 255, rounded, as networks trained with Caffe subtract it."""
