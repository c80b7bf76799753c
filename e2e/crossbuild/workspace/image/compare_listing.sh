# compare_listing.sh LISTING EXPECTED LAYER...: fails unless the layers hold what EXPECTED says.
set -euo pipefail
listing=$1 expected=$2
shift 2
for layer; do
    echo "# $(basename "$layer")"
    # Sizes are left out: a compiler's next point release may change that of a module.
    tar --list --verbose --numeric-owner --utc --full-time --file "$layer" | awk '{ print $1, $2, $4, $5, $6 }'
done >"$listing"
if ! diff --unified "$expected" "$listing" >&2; then
    echo "the layers do not hold what $expected says" >&2
    exit 1
fi
