# The head of a test of the command, which is called with BUILD and SOURCE: $ctkd and $source are absolute, and the script
# goes on in a folder of its own, $folder, which is removed at its end.
ctkd=$(cd "$1" && pwd)/ctkd source=$(cd "$2" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
