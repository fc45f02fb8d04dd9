#!/bin/sh
# Removes from an installed environment what nothing in an image can use. usage: prune.sh FOLDER [without-gpu]
set -e
site=$(echo "$1"/lib/python3*/site-packages)

# Tests of other projects, but for those that numpy.testing itself imports.
find "$site" -type d -name tests -not -path "$site/numpy/*" -prune -exec rm -rf {} +

# Headers, archives and bitcode are a compiler's, and there is none.
rm -rf "$site"/torch/include "$site"/nvidia/*/include "$site"/nvidia/*/lib/*.a "$site"/nvidia/*/lib/*.bc

# Linked into the CUDA build of PyTorch is only cuDNN's entry, libcudnn.so; it opens its parts when it meets a GPU.
if [ "$2" = without-gpu ]; then rm -f "$site"/nvidia/cudnn/lib/libcudnn_*; fi

# The installer's lock, which anybody could write.
rm -f "$1/.lock"
