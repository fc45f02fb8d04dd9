"""The generator, the dual-branch critic and its frozen DenseNet121 branch."""
