# run_layers.sh OUT ENTRYPOINT LAYER...: unpacks the layers as a container would, and runs a program of them.
set -euo pipefail
out=$1 entrypoint=$2
shift 2
root=$(mktemp -d)
for layer; do
    tar --extract --no-same-owner --file "$layer" --directory "$root"
done
python3 -I -B "$root$entrypoint" >"$out"
rm -r "$root"
