#!/bin/sh
# Makes recordings of this folder's table again: make.sh ID...|all. `make.sh --help` says the rest.
here=$(cd "$(dirname "$0")" && pwd)
exec "${PYTHON:-python3}" "$here/make.py" "$@"
