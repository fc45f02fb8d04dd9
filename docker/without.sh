#!/bin/sh
# Prints a locked list without the packages whose lines match, each with its hashes. usage: without.sh LIST PATTERN
exec awk -v pattern="$2" '/^[^ #]/ { left_out = $0 ~ pattern } !left_out' "$1"
