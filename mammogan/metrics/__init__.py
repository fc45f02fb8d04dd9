"""The image-quality metrics: one metric a module, its maths free of input and output."""
