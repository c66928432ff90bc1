"""RMax, CMod, their discrepancy and their change under shifts; spectra of pictures; translation."""
