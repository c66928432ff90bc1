"""Engine of the transforms: arrays and filters in, arrays out.

It imports nothing of the package above it but the checks of arguments.
"""
