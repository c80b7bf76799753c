# oci_image.sh LAYOUT ARCHITECTURE ENTRYPOINT LAYER...: writes an OCI layout with one image.
set -euo pipefail
layout=$1 architecture=$2 entrypoint=$3
shift 3
epoch=1970-01-01T00:00:00Z
# umoci wants to make the directory itself, and Bazel 7 has it made already.
made=$(mktemp -d)/layout
umoci init --layout "$made"
umoci new --image "$made:latest"
for layer; do
    umoci raw add-layer --image "$made:latest" \
        --history.created="$epoch" --history.created_by="$(basename "$layer")" "$layer"
done
umoci config --image "$made:latest" --no-history --created="$epoch" --os=linux --architecture="$architecture" \
    --config.entrypoint=/usr/bin/python3 --config.entrypoint="$entrypoint"
umoci gc --layout "$made"
mkdir -p "$layout"
cp -r "$made/." "$layout/"
