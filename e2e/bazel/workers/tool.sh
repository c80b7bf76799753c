#!/bin/bash
# Writes into the file that its params file names.
set -eu
echo made > "$(head -n 1 "${1#@}")"
