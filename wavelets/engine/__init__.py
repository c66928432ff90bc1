"""Machine room of the transforms: arrays and filters in, arrays out."""
