"""Input and output: one reader and one atomic writer for every kind of file."""
