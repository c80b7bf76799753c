# oci_image_index.sh LAYOUT IMAGE_LAYOUT...: writes an OCI layout with an index of the images.
set -euo pipefail
layout=$1
shift
storage=$(mktemp -d)
name=localhost/image:latest
# buildah wants to be root, if only in a user namespace, and none of the host's places.
buildah() {
    HOME=$storage unshare --user --map-root-user \
        buildah --storage-driver=vfs --root="$storage/root" --runroot="$storage/run" "$@"
}
buildah manifest create "$name" >/dev/null
for image; do
    # The platform is read from the image's own configuration.
    buildah manifest add "$name" "oci:$PWD/$image:latest" >/dev/null
done
mkdir -p "$layout"
buildah manifest push --quiet --all "$name" "oci:$PWD/$layout:latest"
