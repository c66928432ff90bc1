"""Mean and standard deviation by which pixels are normalised where a network does not say otherwise."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of the photographs of ImageNet: R, G, B, pixels in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)
