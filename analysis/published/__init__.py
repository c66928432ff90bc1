"""Numbers that others published: tables of the documents and the records of their authors."""
