"""What people read of a run: the report, the model card, figures and tables, all made from values alone."""
