# The head of a test of the command, which is called with BUILD and SOURCE: $ctkd and $source are absolute, and the script
# goes on in a folder of its own, $folder, which is removed at its end. $sanitized is not empty where the build has
# sanitizers, with which the command takes about five times as long: a test that only repeats itself repeats less then.
ctkd=$(cd "$1" && pwd)/ctkd source=$(cd "$2" && pwd)
sanitized=$(sed -n 's/^CTKD_SANITIZE:[^=]*=//p' "$1/CMakeCache.txt")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
