"""Training: recipes of the documents, data sets, augmentation, one loop, and checkpoints it resumes from exactly."""
