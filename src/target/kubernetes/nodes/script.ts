/** What runs on the node itself, in POSIX sh. */

/** The exit status of an attempt that was begun on the node before and left no outcome. */
export const ALREADY = 213;
/** What it says last tells why. */
export const TIMED_OUT = 124;
/** Higher ones are of the pod: it was killed with the script. */
export const SIGNALED = 128;

/** In bytes; with a longer one no process can be started. */
export const LONGEST_SCRIPT = 96 * 1024;

/**
 * Arguments: folder, attempt, seconds, script, NAME=value … Whatever starts the pod a second time, the script runs once: its folder is claimed
 * first, and one that is there already gives the outcome that it holds.
 */
export const RUN_ON_NODE = `
folder=$1 own=$1/$2 limit=$3 script=$4
shift 4
mkdir -p "$folder" || exit 1
if ! mkdir "$own" 2>/dev/null; then
  read -r code 2>/dev/null <"$own/code" && exit "$code"
  echo "this attempt was begun on the node before, and left no outcome"
  exit ${ALREADY}
fi
printf '%s\\n' "$script" >"$own/script.sh" && sync || exit 1
within=
command -v timeout >/dev/null 2>&1 && within="timeout -k 10 $limit"
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@" $within sh "$own/script.sh" </dev/null
code=$?
if [ "$code" = ${TIMED_OUT} ]; then echo "was ended after its timeout of $limit s"; fi
if [ "$code" -gt ${SIGNALED} ]; then echo "was ended by signal $((code - ${SIGNALED}))"; code=${SIGNALED}; fi
echo "$code" >"$own/code.new" && mv "$own/code.new" "$own/code" && sync
exit "$code"
`;
